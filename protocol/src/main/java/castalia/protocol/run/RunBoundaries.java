package castalia.protocol.run;

import castalia.protocol.control.CoordinatorMessage;
import castalia.protocol.control.Progress;
import castalia.protocol.control.WorkerMessage;
import castalia.protocol.identity.Incarnation;
import castalia.protocol.identity.Member;
import java.util.HashSet;
import java.util.List;
import java.util.Set;

/** Members that step, stop at a boundary, and come to the end. */
final class RunBoundaries {

    private final RunSettings settings;
    private final RunPlanning planning;
    private final RunGathering gathering;
    private final RunDraining draining;

    RunBoundaries(
            RunSettings settings, RunPlanning planning, RunGathering gathering,
            RunDraining draining) {
        this.settings = settings;
        this.draining = draining;
        this.planning = planning;
        this.gathering = gathering;
    }

    void installed(RunDraft draft, Incarnation worker) {
        if (!(draft.phase instanceof RunPhase.Resharding(Set<Incarnation> waiting))) {
            return;
        }
        Set<Incarnation> left = RunGathering.without(waiting, worker);
        draft.phase = new RunPhase.Resharding(left);
        if (left.isEmpty()) {
            draft.cancelTimer(RunTimer.INSTALLING);
            List<Member> members = draft.plan.orElseThrow().members();
            draft.phase = new RunPhase.Running(Set.of());
            members.forEach(m ->
                    draft.send(m.incarnation(), new CoordinatorMessage.Start(draft.fence)));
            draft.announce(new RunNews.Running(draft.fence, members.size(), draft.version,
                    RunLayouts.desired(draft, settings.virtualRanks())));
            stopIfAsked(draft);
            planning.learn(draft);
        }
    }

    void stepped(RunDraft draft, Incarnation worker, Progress progress) {
        draft.version = Math.max(draft.version, progress.step() + 1);
        draft.failed = draft.failed.after(progress.step() + 1);
        long nanos = progress.nanos().total();
        long recent = 8L * draft.plan.map(p -> p.members().size()).orElse(1); // every member says it
        draft.stepNanos = nanos > draft.stepNanos
                ? nanos : draft.stepNanos - (draft.stepNanos - nanos) / recent;
        int rank = draft.plan.map(p -> p.rankOf(worker)).orElse(-1);
        draft.announce(new RunNews.Stepped(draft.fence, worker, rank, progress));
        stopIfAsked(draft);
        learned(draft);
        planning.learn(draft);
    }

    void stopIfAsked(RunDraft draft) {
        switch (draft.phase) {
            case RunPhase.Forming() when draft.stopRequested ->
                    draft.end(new RunResult.Stopped(draft.saved(), lastHash(draft)));
            case RunPhase.Running(Set<Incarnation> finished)
                    when draft.stopRequested && finished.isEmpty()
                            && RunDraining.possible(draft) ->
                    draining.begin(draft, true, "stop requested");
            default -> {
                // Later, when members run.
            }
        }
    }

    /** Ends a run that could not reach a boundary in time. */
    void stopAnyway(RunDraft draft) {
        draft.end(new RunResult.Stopped(draft.saved(), lastHash(draft)));
    }

    void paused(RunDraft draft, Incarnation worker, long step) {
        if (!(draft.phase instanceof RunPhase.Draining(
                long boundary, boolean stopping, String cause, Set<Incarnation> waiting))) {
            return;
        }
        draft.version = Math.max(draft.version, step);
        Set<Incarnation> left = RunGathering.without(waiting, worker);
        draft.phase = new RunPhase.Draining(boundary, stopping, cause, left);
        if (left.isEmpty()) {
            draft.cancelTimer(RunTimer.PAUSING);
            if (stopping) {
                stopped(draft);
            } else {
                gathering.gather(draft, cause);
            }
        }
    }

    /** Ends when everybody has stopped and the state where they stopped is published. */
    void stopped(RunDraft draft) {
        if (draft.phase instanceof RunPhase.Draining drained && drained.stopping()
                && drained.waiting().isEmpty() && draft.storing.isEmpty()
                && draft.published.containsKey(draft.version)) {
            draft.end(new RunResult.Stopped(draft.saved(), lastHash(draft)));
        }
    }

    void caughtUp(RunDraft draft, Incarnation worker, long version) {
        if (!draft.learning.waiting().contains(worker)) {
            return;
        }
        draft.announce(new RunNews.CaughtUp(draft.worker(worker), version));
        draft.learning = new RunPhase.Learning(
                draft.learning.chunks(), RunGathering.without(draft.learning.waiting(), worker));
        if (draft.learning.waiting().isEmpty()) {
            draft.cancelTimer(RunTimer.LEARNING);
            learned(draft);
        }
    }

    /** Members take in what was learnt, when all of it is. */
    private void learned(RunDraft draft) {
        if (!draft.learning.isEmpty() && draft.learning.waiting().isEmpty()
                && draft.phase instanceof RunPhase.Running(Set<Incarnation> finished)
                && finished.isEmpty() && RunDraining.possible(draft)) {
            draining.begin(draft, false, "learned");
        }
    }

    void finished(RunDraft draft, WorkerMessage.Finished finished) {
        draft.version = finished.step();
        draft.digest = finished.digest().hex();
        Set<Incarnation> done = new HashSet<>(
                draft.phase instanceof RunPhase.Running(Set<Incarnation> before)
                        ? before : Set.of());
        done.add(finished.worker());
        draft.phase = new RunPhase.Running(done);
        ended(draft);
    }

    void ended(RunDraft draft) {
        boolean all = draft.phase instanceof RunPhase.Running(Set<Incarnation> done)
                && draft.liveMembers().stream().allMatch(m -> done.contains(m.incarnation()));
        if (all && !draft.digest.isEmpty() && draft.storing.isEmpty()
                && draft.published.containsKey(settings.steps())) {
            draft.end(new RunResult.Finished(settings.steps(), lastHash(draft), draft.digest));
        }
    }

    void published(RunDraft draft, long step, String hash) {
        draft.published(step, hash);
        stopped(draft);
        ended(draft);
    }

    static String lastHash(RunDraft draft) {
        return draft.published.isEmpty() ? "" : draft.published.lastEntry().getValue();
    }
}
