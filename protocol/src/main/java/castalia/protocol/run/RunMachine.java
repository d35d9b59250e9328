package castalia.protocol.run;

import castalia.protocol.ErrorCode;
import castalia.protocol.control.CoordinatorMessage;
import castalia.protocol.control.GenerationPlan.Start;
import castalia.protocol.control.HolderReport;
import castalia.protocol.control.Progress;
import castalia.protocol.control.WorkerMessage;
import castalia.protocol.identity.Fence;
import castalia.protocol.identity.Incarnation;
import castalia.protocol.identity.Member;
import java.time.Duration;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.TreeMap;
import java.util.stream.Stream;

/**
 * The life of a run: {@code (state, event) -> (state, effects)}. There is one path, whatever the
 * cause; first start, growth, failure and restart from disk all take it.
 *
 * <pre>
 * phase       event                                     next        effects
 * ----------  ----------------------------------------  ----------  ------------------------------
 * Forming     enough workers, or FORMING fires          Gathering   new fence; query everybody
 * Gathering   all answered, or GATHERING fires          Resharding  who is silent is dismissed;
 *                                                                   plan from memory; install
 *             the state is not whole in memory          Finding     look for a checkpoint
 * Finding     checkpoint found, or none                 Resharding  plan from it; install
 * Resharding  all installed                             Running     start
 * Running     a member is gone or suspected             Gathering   new fence; query everybody
 *             a worker waits and ranks are missing      Running     learn, feed
 *             a chunk has one holder and none waits     Running     learn, feed among members
 *             all learners caught up                    Draining    pause at a boundary ahead
 *             stop requested                            Draining    pause there and store
 * Draining    all paused, for a change, or PAUSING      Gathering   new fence; query everybody
 *             all paused and published, to stop         Ended       stopped
 * any         all finished and published                Ended       finished
 *             a worker failed for the run's own reason  Ended       failed
 *             a newer term                              Ended       deposed; nobody is told
 * any active  a member is gone                          Gathering   new fence; query everybody
 * </pre>
 *
 * A worker whose registration does not fit is dismissed. A worker that was dismissed and speaks
 * again is told again. Suspicion is cheap: whoever answers the query stays.
 */
public final class RunMachine {

    /** How far ahead of the newest known version members are told to stop. */
    private static final int AHEAD = 2;

    private final RunSettings settings;
    private final RunPlanning planning;

    public RunMachine(RunSettings settings) {
        this.settings = settings;
        this.planning = new RunPlanning(settings);
    }

    /** A state and what is to be done to get there. */
    public record Transition(RunState state, List<RunEffect> effects) {
        public Transition {
            effects = List.copyOf(effects);
        }
    }

    /** A coordinator that just won {@code term}. */
    public Transition begin(long term) {
        RunState state = new RunState(new RunPhase.Forming(), term, new Fence(term, 0),
                settings.target(), Map.of(), Set.of(), Optional.empty(),
                RunPhase.Learning.NONE, 0, 0, new TreeMap<>(), new TreeMap<>(), -1, true, "", false);
        RunDraft draft = new RunDraft(state);
        draft.startTimer(RunTimer.FORMING, settings.patience().forming());
        return new Transition(draft.state(), draft.effects);
    }

    /** What an event leads to. */
    public Transition next(RunState state, RunEvent event) {
        if (state.phase() instanceof RunPhase.Ended) {
            return new Transition(state, afterEnd(state, event));
        }
        RunDraft draft = new RunDraft(state);
        switch (event) {
            case RunEvent.FromWorker(WorkerMessage message) -> heard(draft, message);
            case RunEvent.WorkerGone(Incarnation worker, String how) -> gone(draft, worker, how);
            case RunEvent.TargetChanged(int ranks) -> {
                draft.target = ranks;
                formed(draft);
                planning.learn(draft);
            }
            case RunEvent.CheckpointFound found -> found(draft, found);
            case RunEvent.Published(long step, String hash) -> published(draft, step, hash);
            case RunEvent.StorageFailed(String message) ->
                    draft.end(new RunResult.Failed(ErrorCode.STORAGE_FAILED, message));
            case RunEvent.TimerFired(RunTimer timer, Fence fence) -> {
                if (timer == RunTimer.FORMING || fence.equals(draft.fence)) {
                    fired(draft, timer);
                }
            }
            case RunEvent.StopRequested() -> {
                draft.stopRequested = true;
                stopIfAsked(draft);
            }
            case RunEvent.Deposed(long newer) -> draft.end(new RunResult.Deposed(newer));
        }
        return new Transition(draft.state(), draft.effects);
    }

    /** Late workers are told that it is over. */
    private static List<RunEffect> afterEnd(RunState state, RunEvent event) {
        boolean deposed = state.phase() instanceof RunPhase.Ended(RunResult.Deposed _);
        return !deposed
                        && event instanceof RunEvent.FromWorker(WorkerMessage.Registered late)
                ? List.of(new RunEffect.Send(late.member().incarnation(),
                        new CoordinatorMessage.Dismiss(state.fence(), "the run is over")))
                : List.of();
    }

    private void heard(RunDraft draft, WorkerMessage message) {
        switch (message) {
            case WorkerMessage.Registered registered -> registered(draft, registered);
            case WorkerMessage.Reported(HolderReport report) -> reported(draft, report);
            case WorkerMessage.Installed(Fence fence, Incarnation worker) -> {
                if (current(draft, fence, worker, "Installed")) {
                    installed(draft, worker);
                }
            }
            case WorkerMessage.Stepped(Fence fence, Incarnation worker, Progress progress) -> {
                if (current(draft, fence, worker, "Stepped")) {
                    stepped(draft, worker, progress);
                }
            }
            case WorkerMessage.Validated(_, long step, double loss) ->
                    draft.announce(new RunNews.Validated(step, loss));
            case WorkerMessage.Paused(Fence fence, Incarnation worker, long step) -> {
                if (current(draft, fence, worker, "Paused")) {
                    paused(draft, worker, step);
                }
            }
            case WorkerMessage.Suspects suspects -> suspects(draft, suspects);
            case WorkerMessage.Stored(var fence, var scalars, var entries, int total) -> {
                if (fence.equals(draft.fence)) {
                    draft.stored(scalars, entries, total);
                }
            }
            case WorkerMessage.CaughtUp(Fence fence, Incarnation worker, long version) -> {
                if (current(draft, fence, worker, "CaughtUp")) {
                    caughtUp(draft, worker, version);
                }
            }
            case WorkerMessage.Finished finished -> {
                if (current(draft, finished.fence(), finished.worker(), "Finished")) {
                    finished(draft, finished);
                }
            }
            case WorkerMessage.Failed failed -> failed(draft, failed);
        }
    }

    /** Whether a message counts: of the newest generation, from somebody who takes part. */
    private static boolean current(
            RunDraft draft, Fence fence, Incarnation worker, String what) {
        if (fence.equals(draft.fence) && draft.workers.containsKey(worker)) {
            return true;
        }
        draft.announce(new RunNews.StaleMessage(fence, what));
        if (draft.dismissed.contains(worker)) {
            draft.send(worker, new CoordinatorMessage.Dismiss(draft.fence, "excluded before"));
        }
        return false;
    }

    private void registered(RunDraft draft, WorkerMessage.Registered offer) {
        Member member = offer.member();
        Incarnation worker = member.incarnation();
        Optional<String> misfit = misfit(draft, offer);
        if (misfit.isPresent()) {
            draft.announce(new RunNews.Refused(member, misfit.get()));
            draft.dismiss(worker, misfit.get());
            return;
        }
        if (draft.workers.put(worker, member) != null) {
            return;
        }
        if (draft.phase instanceof RunPhase.Forming) {
            draft.fence = new Fence(draft.term,
                    Math.max(draft.fence.generation(), offer.seen().generation()));
        }
        draft.announce(new RunNews.Joined(member, offer.device()));
        formed(draft);
        planning.learn(draft);
    }

    private Optional<String> misfit(RunDraft draft, WorkerMessage.Registered offer) {
        if (draft.dismissed.contains(offer.member().incarnation())) {
            return Optional.of("it was excluded before; a new process may join");
        }
        if (!offer.build().equals(settings.build())) {
            return Optional.of("its program is build " + offer.build() + ", the run's is "
                    + settings.build());
        }
        if (!offer.numericVersion().equals(settings.numericVersion())) {
            return Optional.of("its numeric version is " + offer.numericVersion()
                    + ", the run's is " + settings.numericVersion());
        }
        if (!offer.run().equals(settings.run())) {
            return Optional.of("it would execute run " + offer.run() + ", not " + settings.run());
        }
        return Optional.empty();
    }

    /** Begins when there are enough. */
    private void formed(RunDraft draft) {
        int wanted = Math.min(draft.target, settings.virtualRanks());
        if (draft.phase instanceof RunPhase.Forming && wanted > 0
                && draft.workers.size() >= wanted) {
            gather(draft, "start");
        }
    }

    /** Asks everybody what they hold; from here on no older generation acts. */
    private void gather(RunDraft draft, String cause) {
        draft.fence = draft.fence.next(draft.term);
        draft.learning = RunPhase.Learning.NONE;
        for (RunTimer timer : RunTimer.values()) {
            draft.cancelTimer(timer);
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

    private static Duration atLeast(Duration least, RunDraft draft, int steps) {
        Duration some = Duration.ofNanos(draft.stepNanos).multipliedBy(steps);
        return some.compareTo(least) > 0 ? some : least;
    }

    private void reported(RunDraft draft, HolderReport report) {
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
    private void decide(RunDraft draft, String cause, List<HolderReport> reports) {
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

    private void found(RunDraft draft, RunEvent.CheckpointFound found) {
        if (!(draft.phase instanceof RunPhase.Finding) || !found.fence().equals(draft.fence)) {
            return;
        }
        Start start = found.newest().isEmpty()
                ? new Start.Initial() : new Start.Checkpoint(found.newest().get().step());
        long step = found.newest().map(scalars -> scalars.step()).orElse(0L);
        found.newest().ifPresent(_ -> draft.published.putIfAbsent(step, found.stateHash()));
        draft.version = step;
        planning.anew(draft, start);
    }

    private void installed(RunDraft draft, Incarnation worker) {
        if (!(draft.phase instanceof RunPhase.Resharding(Set<Incarnation> waiting))) {
            return;
        }
        Set<Incarnation> left = without(waiting, worker);
        draft.phase = new RunPhase.Resharding(left);
        if (left.isEmpty()) {
            draft.cancelTimer(RunTimer.INSTALLING);
            List<Member> members = draft.plan.orElseThrow().members();
            draft.phase = new RunPhase.Running(Set.of());
            members.forEach(m ->
                    draft.send(m.incarnation(), new CoordinatorMessage.Start(draft.fence)));
            draft.announce(new RunNews.Running(draft.fence, members.size(), draft.version));
            stopIfAsked(draft);
            planning.learn(draft);
        }
    }

    private void stepped(RunDraft draft, Incarnation worker, Progress progress) {
        draft.version = Math.max(draft.version, progress.step() + 1);
        long nanos = progress.nanos().total();
        draft.stepNanos = nanos > draft.stepNanos ? nanos : draft.stepNanos - (draft.stepNanos - nanos) / 8;
        int rank = draft.plan.map(p -> p.rankOf(worker)).orElse(-1);
        draft.announce(new RunNews.Stepped(draft.fence, worker, rank, progress));
        planning.learn(draft);
    }

    private void stopIfAsked(RunDraft draft) {
        switch (draft.phase) {
            case RunPhase.Forming() when draft.stopRequested ->
                    draft.end(new RunResult.Stopped(draft.saved(), lastHash(draft)));
            case RunPhase.Running(Set<Incarnation> finished)
                    when draft.stopRequested && finished.isEmpty() ->
                    drain(draft, true, "stop requested");
            default -> {
                // Later, when members run.
            }
        }
    }

    /** Lets members run to a boundary that none of them has passed, as far as known. */
    private void drain(RunDraft draft, boolean stopping, String cause) {
        long step = Math.min(draft.version + AHEAD, settings.steps());
        List<Member> members = draft.liveMembers();
        Set<Incarnation> waiting = new HashSet<>();
        for (Member member : members) {
            waiting.add(member.incarnation());
        }
        if (!stopping) {
            waiting.addAll(draft.learning.chunks().keySet());
        }
        waiting.stream().sorted().forEach(worker ->
                draft.send(worker, new CoordinatorMessage.Pause(draft.fence, step, stopping)));
        draft.phase = new RunPhase.Draining(step, stopping, cause, waiting);
        draft.startTimer(
                RunTimer.PAUSING, atLeast(settings.patience().pausing(), draft, 2 * AHEAD + 2));
    }

    private void paused(RunDraft draft, Incarnation worker, long step) {
        if (!(draft.phase instanceof RunPhase.Draining(
                long boundary, boolean stopping, String cause, Set<Incarnation> waiting))) {
            return;
        }
        draft.version = Math.max(draft.version, step);
        Set<Incarnation> left = without(waiting, worker);
        draft.phase = new RunPhase.Draining(boundary, stopping, cause, left);
        if (left.isEmpty()) {
            draft.cancelTimer(RunTimer.PAUSING);
            if (stopping) {
                stopped(draft);
            } else {
                gather(draft, cause);
            }
        }
    }

    /** Ends when everybody has stopped and the state where they stopped is published. */
    private void stopped(RunDraft draft) {
        if (draft.phase instanceof RunPhase.Draining drained && drained.stopping()
                && drained.waiting().isEmpty() && draft.storing.isEmpty()
                && draft.published.containsKey(draft.version)) {
            draft.end(new RunResult.Stopped(draft.saved(), lastHash(draft)));
        }
    }

    private void suspects(RunDraft draft, WorkerMessage.Suspects suspects) {
        boolean active = draft.phase instanceof RunPhase.Running
                || draft.phase instanceof RunPhase.Draining
                || draft.phase instanceof RunPhase.Resharding;
        if (!active || !current(draft, suspects.fence(), suspects.worker(), "Suspects")
                || !draft.member(suspects.about())) {
            return;
        }
        Member by = draft.workers.get(suspects.worker());
        Optional<Member> about = Optional.ofNullable(draft.workers.get(suspects.about()));
        String whom = about.map(Member::label).orElse(suspects.about().toString());
        gather(draft, (by == null ? "a worker" : by.label())
                + (suspects.broken() ? " lost " : " waits for ") + whom + ": " + suspects.what());
    }

    private void caughtUp(RunDraft draft, Incarnation worker, long version) {
        if (!draft.learning.waiting().contains(worker)) {
            return;
        }
        draft.announce(new RunNews.CaughtUp(draft.worker(worker), version));
        draft.learning = new RunPhase.Learning(
                draft.learning.chunks(), without(draft.learning.waiting(), worker));
        if (draft.learning.waiting().isEmpty()
                && draft.phase instanceof RunPhase.Running(Set<Incarnation> finished)
                && finished.isEmpty()) {
            draft.cancelTimer(RunTimer.LEARNING);
            drain(draft, false, "learned");
        }
    }

    private void finished(RunDraft draft, WorkerMessage.Finished finished) {
        draft.version = finished.step();
        draft.digest = finished.digest().hex();
        Set<Incarnation> done = new HashSet<>(
                draft.phase instanceof RunPhase.Running(Set<Incarnation> before)
                        ? before : Set.of());
        done.add(finished.worker());
        draft.phase = new RunPhase.Running(done);
        ended(draft);
    }

    private void ended(RunDraft draft) {
        boolean all = draft.phase instanceof RunPhase.Running(Set<Incarnation> done)
                && draft.liveMembers().stream().allMatch(m -> done.contains(m.incarnation()));
        if (all && !draft.digest.isEmpty() && draft.storing.isEmpty()
                && draft.published.containsKey(settings.steps())) {
            draft.end(new RunResult.Finished(settings.steps(), lastHash(draft), draft.digest));
        }
    }

    private void published(RunDraft draft, long step, String hash) {
        draft.published(step, hash);
        stopped(draft);
        ended(draft);
    }

    private static String lastHash(RunDraft draft) {
        return draft.published.isEmpty() ? "" : draft.published.lastEntry().getValue();
    }

    /** A failure every worker would have ends the run; another only that worker. */
    private void failed(RunDraft draft, WorkerMessage.Failed failed) {
        if (!draft.workers.containsKey(failed.worker())) {
            return;
        }
        switch (failed.code()) {
            case PEER_LOST -> {
                draft.dismiss(failed.worker(), failed.message());
                lost(draft, failed.worker(), failed.message());
            }
            case CONFIG_INVALID, DATA_CORRUPT, CHECKPOINT_INCOMPLETE, CHECKPOINT_CORRUPT,
                    DEVICE_FAILED, OUT_OF_MEMORY, STORAGE_FAILED, NUMERIC_DIVERGED, UNSUPPORTED ->
                    draft.end(new RunResult.Failed(failed.code(), failed.message()));
        }
    }

    private void gone(RunDraft draft, Incarnation worker, String how) {
        Member member = draft.workers.remove(worker);
        draft.dismissed.remove(worker);
        if (member != null) {
            if (draft.member(worker)) {
                draft.announce(new RunNews.Detected(member, how));
            }
            lost(draft, worker, member.label() + " " + how);
        }
    }

    /** To be called when a worker was taken out of the list. */
    private void lost(RunDraft draft, Incarnation worker, String cause) {
        switch (draft.phase) {
            case RunPhase.Gathering(String why, Set<Incarnation> waiting, var reports) -> {
                List<HolderReport> others =
                        reports.stream().filter(r -> !r.worker().equals(worker)).toList();
                Set<Incarnation> left = without(waiting, worker);
                draft.phase = new RunPhase.Gathering(why, left, others);
                if (others.isEmpty() && left.isEmpty()) {
                    gather(draft, cause);
                } else if (left.isEmpty()) {
                    decide(draft, why, others);
                }
            }
            case RunPhase.Finding(String why, var reports) -> draft.phase = new RunPhase.Finding(
                    why, reports.stream().filter(r -> !r.worker().equals(worker)).toList());
            case RunPhase.Resharding _, RunPhase.Running _, RunPhase.Draining _ -> {
                if (draft.member(worker)) {
                    gather(draft, cause);
                } else if (draft.learning.chunks().containsKey(worker)) {
                    draft.learning = RunPhase.Learning.NONE;
                    draft.cancelTimer(RunTimer.LEARNING);
                    planning.learn(draft);
                }
            }
            case RunPhase.Forming _, RunPhase.Ended _ -> {
                // Nothing waits for it.
            }
        }
    }

    private void fired(RunDraft draft, RunTimer timer) {
        switch (timer) {
            case FORMING -> {
                draft.patient = false;
                if (draft.phase instanceof RunPhase.Forming) {
                    if (draft.workers.isEmpty()) {
                        draft.end(new RunResult.Failed(ErrorCode.PEER_LOST, "no worker came within "
                                + settings.patience().forming().toSeconds() + " s"));
                    } else {
                        gather(draft, "start with " + draft.workers.size() + " workers");
                    }
                }
            }
            case GATHERING -> {
                if (draft.phase instanceof RunPhase.Gathering(
                        String cause, Set<Incarnation> waiting, List<HolderReport> reports)) {
                    exclude(draft, waiting, "did not answer a query");
                    if (reports.isEmpty()) {
                        gather(draft, cause);
                    } else {
                        decide(draft, cause, reports);
                    }
                }
            }
            case INSTALLING -> {
                if (draft.phase instanceof RunPhase.Resharding(Set<Incarnation> waiting)) {
                    exclude(draft, waiting, "did not take its place");
                    gather(draft, "members did not take their places");
                }
            }
            case PAUSING -> {
                if (draft.phase instanceof RunPhase.Draining) {
                    gather(draft, "members did not reach the boundary in time");
                }
            }
            case LEARNING -> {
                Set<Incarnation> slow = draft.learning.waiting();
                draft.learning = RunPhase.Learning.NONE;
                exclude(draft, slow.stream().filter(w -> !draft.member(w)).toList(),
                        "did not catch up");
                planning.learn(draft);
            }
        }
    }

    private static void exclude(RunDraft draft, Iterable<Incarnation> silent, String why) {
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

    private static Set<Incarnation> without(Set<Incarnation> set, Incarnation one) {
        Set<Incarnation> left = new HashSet<>(set);
        left.remove(one);
        return left;
    }
}
