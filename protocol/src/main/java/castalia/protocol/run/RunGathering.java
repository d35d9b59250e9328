package castalia.protocol.run;

import castalia.protocol.control.CoordinatorMessage;
import castalia.protocol.control.GenerationPlan.Start;
import castalia.protocol.control.HolderReport;
import castalia.protocol.identity.Fence;
import castalia.protocol.identity.Incarnation;
import castalia.protocol.identity.Member;
import java.time.Duration;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Set;
import java.util.stream.Stream;

/** Asking everybody what they hold, and deciding where all continue from. */
final class RunGathering {

    private final RunSettings settings;
    private final RunPlanning planning;

    RunGathering(RunSettings settings, RunPlanning planning) {
        this.settings = settings;
        this.planning = planning;
    }

    /** Whether a message counts: of the newest generation, from somebody who takes part. */
    static boolean current(
            RunDraft draft, Fence fence, Incarnation worker, String what) {
        if (fence.equals(draft.fence) && draft.workers.containsKey(worker)) {
            return true;
        }
        draft.announce(new RunNews.StaleMessage(fence, worker, what));
        if (draft.dismissed.contains(worker)) {
            draft.send(worker, new CoordinatorMessage.Dismiss(draft.fence, "excluded before"));
        }
        return false;
    }

    /** Asks everybody what they hold; from here on no older generation acts. */
    void gather(RunDraft draft, String cause) {
        draft.fence = draft.fence.next(draft.term);
        draft.learning = RunPhase.Learning.NONE;
        for (RunTimer timer : RunTimer.values()) {
            if (timer != RunTimer.STOPPING) {
                draft.cancelTimer(timer);
            }
        }
        if (draft.workers.isEmpty()) {
            draft.phase = new RunPhase.Forming();
            draft.startTimer(RunTimer.FORMING, settings.patience().forming());
            return;
        }
        draft.announce(new RunNews.Gathering(draft.fence, cause));
        draft.phase = new RunPhase.Gathering(cause, draft.workers.keySet(), List.of());
        draft.workers.keySet().forEach(
                worker -> draft.send(worker, new CoordinatorMessage.Query(draft.fence)));
        draft.startTimer(
                RunTimer.GATHERING, atLeast(settings.patience().gathering(), draft, 2));
    }

    static Duration atLeast(Duration least, RunDraft draft, int steps) {
        Duration some = Duration.ofNanos(draft.stepNanos).multipliedBy(steps);
        return some.compareTo(least) > 0 ? some : least;
    }

    void reported(RunDraft draft, HolderReport report) {
        if (!current(draft, report.fence(), report.worker(), "Reported")
                || !(draft.phase instanceof RunPhase.Gathering(
                        String cause, Set<Incarnation> waiting, List<HolderReport> reports))
                || !waiting.contains(report.worker())) {
            return;
        }
        Set<Incarnation> left = without(waiting, report.worker());
        List<HolderReport> all = Stream.concat(reports.stream(), Stream.of(report)).toList();
        draft.phase = new RunPhase.Gathering(cause, left, all);
        if (left.isEmpty()) {
            decide(draft, cause, all);
        }
    }

    /** All who answer have answered. */
    void decide(RunDraft draft, String cause, List<HolderReport> reports) {
        draft.cancelTimer(RunTimer.GATHERING);
        switch (RollForward.of(reports, settings.grid().size())) {
            case RollForward.Lost(_) when draft.patient && draft.plan.isEmpty() -> {
                draft.phase = new RunPhase.Forming();
                draft.startTimer(RunTimer.FORMING, settings.patience().gathering().multipliedBy(5));
            }
            case RollForward.Nothing(), RollForward.Lost(_) -> {
                draft.phase = new RunPhase.Finding(cause, reports);
                draft.effects.add(new RunEffect.FindCheckpoint(draft.fence));
            }
            case RollForward.Memory memory -> planning.fromMemory(draft, reports, memory);
        }
    }

    void found(RunDraft draft, RunEvent.CheckpointFound found) {
        if (!(draft.phase instanceof RunPhase.Finding) || !found.fence().equals(draft.fence)) {
            return;
        }
        Start start = new Start.Initial();
        draft.version = 0;
        if (found.newest().isPresent()) {
            RunStorage.Newest newest = found.newest().get();
            draft.version = newest.scalars().step();
            draft.published.putIfAbsent(draft.version, newest.stateHash());
            start = new Start.Checkpoint(draft.version);
        }
        planning.anew(draft, start);
    }

    static void exclude(RunDraft draft, Iterable<Incarnation> silent, String why) {
        List<Incarnation> all = new ArrayList<>();
        silent.forEach(all::add);
        for (Incarnation worker : all.stream().sorted().toList()) {
            Member member = draft.workers.get(worker);
            if (member != null) {
                draft.announce(new RunNews.Detected(member, why));
                draft.dismiss(worker, why);
            }
        }
    }

    static Set<Incarnation> without(Set<Incarnation> set, Incarnation one) {
        Set<Incarnation> left = new HashSet<>(set);
        left.remove(one);
        return left;
    }
}
