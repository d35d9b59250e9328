package castalia.protocol.run;

import castalia.protocol.ErrorCode;
import castalia.protocol.control.CoordinatorMessage;
import castalia.protocol.control.HolderReport;
import castalia.protocol.control.Progress;
import castalia.protocol.control.WorkerMessage;
import castalia.protocol.identity.Fence;
import castalia.protocol.identity.Incarnation;
import castalia.protocol.identity.Member;
import castalia.protocol.layout.LayoutWish;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.TreeMap;

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
 *             another layout fits the wish better       Draining    pause at a boundary ahead
 *             stop requested                            Draining    pause there and store
 * any         STOPPING fires                            Ended       stopped where it was saved last
 * Draining    all paused, for a change, or PAUSING      Gathering   new fence; query everybody
 *             all paused and published, to stop         Ended       stopped
 * any         all finished and published                Ended       finished
 *             a worker failed as every worker would     Ended       failed
 *             a worker failed and no other is left      Ended       failed
 *             as many failed as are wanted, and no      Ended       failed
 *               step was completed in between
 *             a newer term                              Ended       deposed; nobody is told
 * any active  a member is gone or failed by itself      Gathering   new fence; query everybody
 * </pre>
 *
 * A worker whose registration does not fit is dismissed. A worker that was dismissed and speaks
 * again is told again. Suspicion is cheap: whoever answers the query stays.
 */
public final class RunMachine {

    private final RunSettings settings;
    private final RunPlanning planning;
    private final RunGathering gathering;
    private final RunBoundaries boundaries;

    public RunMachine(RunSettings settings) {
        this.settings = settings;
        RunDraining draining = new RunDraining(settings);
        this.planning = new RunPlanning(settings, draining);
        this.gathering = new RunGathering(settings, planning);
        this.boundaries = new RunBoundaries(settings, planning, gathering, draining);
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
                settings.target(), settings.wish(), false, Map.of(), Set.of(), Optional.empty(),
                RunPhase.Learning.NONE, 0, 0, new TreeMap<>(), new TreeMap<>(), -1,
                RunState.Failed.NONE, true, "", false);
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
            case RunEvent.LayoutRequested(LayoutWish wish) -> {
                // Who asks checks first; what cannot be must not end a run.
                if (wish.fits(settings.virtualRanks(), settings.grid().layout().tensorSlices())) {
                    draft.wish = wish;
                    draft.announce(new RunNews.LayoutWanted(wish,
                            RunLayouts.desired(draft, settings.virtualRanks()),
                            draft.workers.size()));
                    formed(draft);
                    planning.learn(draft);
                    planning.redirect(draft);
                }
            }
            case RunEvent.CheckpointFound found -> gathering.found(draft, found);
            case RunEvent.Published(long step, String hash) -> boundaries.published(draft, step, hash);
            case RunEvent.StorageFailed(String message) ->
                    draft.end(new RunResult.Failed(ErrorCode.STORAGE_FAILED, message));
            case RunEvent.TimerFired(RunTimer timer, Fence fence) -> {
                if (timer == RunTimer.FORMING || timer == RunTimer.STOPPING
                        || fence.equals(draft.fence)) {
                    fired(draft, timer);
                }
            }
            case RunEvent.StopRequested() -> {
                if (!draft.stopRequested) {
                    draft.stopRequested = true;
                    draft.startTimer(RunTimer.STOPPING, RunGathering.atLeast(
                            settings.patience().pausing().multipliedBy(6), draft, 20));
                }
                boundaries.stopIfAsked(draft);
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
                        new CoordinatorMessage.Dismiss(state.fence(), CoordinatorMessage.Dismiss.OVER)))
                : List.of();
    }

    private void heard(RunDraft draft, WorkerMessage message) {
        switch (message) {
            case WorkerMessage.Registered registered -> registered(draft, registered);
            case WorkerMessage.Reported(HolderReport report) -> gathering.reported(draft, report);
            case WorkerMessage.Installed(Fence fence, Incarnation worker) -> {
                if (RunGathering.current(draft, fence, worker, "Installed")) {
                    boundaries.installed(draft, worker);
                }
            }
            case WorkerMessage.Stepped(Fence fence, Incarnation worker, Progress progress) -> {
                if (RunGathering.current(draft, fence, worker, "Stepped")) {
                    boundaries.stepped(draft, worker, progress);
                }
            }
            case WorkerMessage.Validated(_, long step, double loss) ->
                    draft.announce(new RunNews.Validated(step, loss));
            case WorkerMessage.Paused(Fence fence, Incarnation worker, long step) -> {
                if (RunGathering.current(draft, fence, worker, "Paused")) {
                    boundaries.paused(draft, worker, step);
                }
            }
            case WorkerMessage.Suspects suspects -> suspects(draft, suspects);
            case WorkerMessage.Stored(var fence, var scalars, var entries, int total) -> {
                if (fence.equals(draft.fence)) {
                    draft.stored(scalars, entries, total);
                }
            }
            case WorkerMessage.CaughtUp(Fence fence, Incarnation worker, long version) -> {
                if (RunGathering.current(draft, fence, worker, "CaughtUp")) {
                    boundaries.caughtUp(draft, worker, version);
                }
            }
            case WorkerMessage.Finished finished -> {
                if (RunGathering.current(draft, finished.fence(), finished.worker(), "Finished")) {
                    boundaries.finished(draft, finished);
                }
            }
            case WorkerMessage.Failed failed -> failed(draft, failed);
        }
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
        int wanted = RunLayouts.wanted(draft, settings.virtualRanks());
        if (draft.phase instanceof RunPhase.Forming && wanted > 0
                && draft.workers.size() >= wanted) {
            gathering.gather(draft, "start");
        }
    }

    private void suspects(RunDraft draft, WorkerMessage.Suspects suspects) {
        boolean active = draft.phase instanceof RunPhase.Running
                || draft.phase instanceof RunPhase.Draining
                || draft.phase instanceof RunPhase.Resharding;
        if (!active || !RunGathering.current(draft, suspects.fence(), suspects.worker(), "Suspects")
                || !draft.member(suspects.about())) {
            return;
        }
        Member by = draft.workers.get(suspects.worker());
        Optional<Member> about = Optional.ofNullable(draft.workers.get(suspects.about()));
        String whom = about.map(Member::label).orElse(suspects.about().toString());
        gathering.gather(draft, (by == null ? "a worker" : by.label())
                + (suspects.broken() ? " lost " : " waits for ") + whom + ": " + suspects.what());
    }

    /**
     * A failure every worker would have ends the run; another only that worker. A state of which
     * two holders hold different bits is of the first kind: nobody knows who is right.
     */
    private void failed(RunDraft draft, WorkerMessage.Failed failed) {
        Member member = draft.workers.get(failed.worker());
        if (member == null) {
            return;
        }
        switch (failed.code()) {
            case PEER_LOST -> {
                draft.dismiss(failed.worker(), failed.message());
                lost(draft, failed.worker(), failed.message());
            }
            case DEVICE_FAILED, OUT_OF_MEMORY -> failedAlone(draft, member, failed);
            case CONFIG_INVALID, DATA_CORRUPT, CHECKPOINT_INCOMPLETE, CHECKPOINT_CORRUPT,
                    STORAGE_FAILED, NUMERIC_DIVERGED, UNSUPPORTED, HUB_FAILED ->
                    draft.end(new RunResult.Failed(failed.code(), failed.message()));
        }
    }

    /** Others go on, unless none is left or the step fails wherever it is executed. */
    private void failedAlone(RunDraft draft, Member member, WorkerMessage.Failed failed) {
        draft.failed = draft.failed.and(member.label(), draft.version);
        int most = settings.virtualRanks() * draft.wish.tensorParallel();
        int wanted = Math.max(Math.min(draft.target, most),
                draft.plan.map(plan -> plan.members().size()).orElse(0));
        boolean everywhere = wanted > 0 && draft.failed.places().size() >= Math.max(2, wanted);
        boolean last = draft.workers.size() == 1
                && (!(draft.phase instanceof RunPhase.Forming) || wanted == 1);
        if (everywhere || last) {
            draft.end(new RunResult.Failed(failed.code(), failed.message()));
            return;
        }
        String how = "failed: " + failed.message();
        draft.announce(new RunNews.Detected(member, how));
        draft.dismiss(member.incarnation(), how);
        lost(draft, member.incarnation(), member.label() + " " + how);
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
                Set<Incarnation> left = RunGathering.without(waiting, worker);
                draft.phase = new RunPhase.Gathering(why, left, others);
                if (others.isEmpty() && left.isEmpty()) {
                    gathering.gather(draft, cause);
                } else if (left.isEmpty()) {
                    gathering.decide(draft, why, others);
                }
            }
            case RunPhase.Finding(String why, var reports) -> draft.phase = new RunPhase.Finding(
                    why, reports.stream().filter(r -> !r.worker().equals(worker)).toList());
            case RunPhase.Resharding _, RunPhase.Running _, RunPhase.Draining _ -> {
                if (draft.member(worker)) {
                    gathering.gather(draft, cause);
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
                boolean waited = !draft.patient;
                draft.patient = false;
                if (draft.phase instanceof RunPhase.Forming && !draft.workers.isEmpty()) {
                    gathering.gather(draft, "start with " + draft.workers.size() + " workers");
                } else if (draft.phase instanceof RunPhase.Forming && waited) {
                    draft.end(new RunResult.Failed(ErrorCode.PEER_LOST, "no worker came within "
                            + settings.patience().forming().toSeconds() + " s"));
                } else if (draft.phase instanceof RunPhase.Forming) {
                    draft.startTimer(RunTimer.FORMING, settings.patience().forming());
                }
            }
            case GATHERING -> {
                if (draft.phase instanceof RunPhase.Gathering(
                        String cause, Set<Incarnation> waiting, List<HolderReport> reports)) {
                    RunGathering.exclude(draft, waiting, "did not answer a query");
                    if (reports.isEmpty()) {
                        gathering.gather(draft, cause);
                    } else {
                        gathering.decide(draft, cause, reports);
                    }
                }
            }
            case INSTALLING -> {
                if (draft.phase instanceof RunPhase.Resharding(Set<Incarnation> waiting)) {
                    RunGathering.exclude(draft, waiting, "did not take its place");
                    gathering.gather(draft, "members did not take their places");
                }
            }
            case PAUSING -> {
                if (draft.phase instanceof RunPhase.Draining) {
                    gathering.gather(draft, "members did not reach the boundary in time");
                }
            }
            case STOPPING -> boundaries.stopAnyway(draft);
            case LEARNING -> {
                Set<Incarnation> slow = draft.learning.waiting();
                draft.learning = RunPhase.Learning.NONE;
                RunGathering.exclude(draft, slow.stream().filter(w -> !draft.member(w)).toList(),
                        "did not catch up");
                planning.learn(draft);
            }
        }
    }

}
