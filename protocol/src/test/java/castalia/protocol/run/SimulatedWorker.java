package castalia.protocol.run;

import castalia.protocol.control.Committed;
import castalia.protocol.control.CoordinatorMessage;
import castalia.protocol.control.GenerationPlan;
import castalia.protocol.control.Progress;
import castalia.protocol.control.WorkerMessage;
import castalia.protocol.identity.Endpoint;
import castalia.protocol.identity.Fence;
import castalia.protocol.identity.Incarnation;
import castalia.protocol.identity.Member;
import castalia.protocol.control.GenerationPlan.Start;
import castalia.protocol.layout.ReshardPlan;
import castalia.protocol.step.ScalarState;
import castalia.protocol.step.StateDigest;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.OptionalLong;
import java.util.Queue;
import java.util.Set;
import java.util.SortedMap;
import java.util.TreeMap;
import java.util.stream.Collectors;
import java.util.stream.IntStream;

/**
 * A worker without arithmetic: it follows DESIGN's step, and its chunks know their version only.
 * Everything it is told arrives as an event of the {@link SimulatedRun}.
 */
final class SimulatedWorker {

    private enum Doing { NOTHING, STORING, COMPUTING, REDUCING, VOTING, GATHERING }

    final SimulatedRun run;
    final Member member;
    boolean dead;
    boolean frozen;
    final Queue<Runnable> pending = new ArrayDeque<>();
    Fence seen = Fence.NONE;

    private final SimulatedState state;
    private final Map<Fence, List<Map.Entry<Incarnation, SimulatedFrame>>> early = new HashMap<>();

    private Optional<GenerationPlan> plan = Optional.empty();
    private boolean started;
    private Doing doing = Doing.NOTHING;
    private final SimulatedArrivals arrivals = new SimulatedArrivals();
    private Optional<CoordinatorMessage.Pause> pause = Optional.empty();
    private long storedVersion = -1;
    private long work;

    private final Map<Member, Set<Integer>> feeding = new HashMap<>();
    private final Map<Member, Set<Integer>> fed = new HashMap<>();
    private final SimulatedLessons lessons;
    private final SortedMap<Long, ScalarState> unpublished = new TreeMap<>();
    private final Set<Integer> moving = new HashSet<>();
    private String waited = "";

    SimulatedWorker(SimulatedRun run, long id, String node) {
        this.run = run;
        this.state = new SimulatedState(run);
        this.lessons = new SimulatedLessons(run, state.versions);
        this.member = new Member(new Incarnation(id), "w" + id, node, id,
                new Endpoint("127.0.0.1", 1, Optional.empty()));
    }

    private boolean silent() {
        return dead || frozen;
    }

    private long version() {
        return state.version();
    }

    void say(WorkerMessage message) {
        run.toCoordinator(this, message);
    }

    WorkerMessage.Registered registration() {
        return new WorkerMessage.Registered(
                member, SimulatedRun.RUN, "nv", "build", "simulated", seen);
    }

    /** A message of a coordinator. */
    void accept(CoordinatorMessage message) {
        if (dead || seen.newerThan(message.fence())) {
            return;
        }
        switch (message) {
            case CoordinatorMessage.Query(Fence fence) -> {
                abandon(fence);
                say(new WorkerMessage.Reported(state.report(fence, member.incarnation())));
            }
            case CoordinatorMessage.Install(GenerationPlan wanted) -> install(wanted);
            case CoordinatorMessage.Start(Fence fence) -> {
                if (plan.filter(p -> p.fence().equals(fence)).isPresent() && !started) {
                    started = true;
                    unpublished.values().forEach(this::sayStored);
                    boundary();
                }
            }
            case CoordinatorMessage.Pause asked -> {
                pause = Optional.of(asked);
                if (doing == Doing.NOTHING) {
                    boundary();
                }
            }
            case CoordinatorMessage.Feed(_, Member learner, List<Integer> chunks) ->
                    feeding.computeIfAbsent(learner, _ -> new HashSet<>()).addAll(chunks);
            case CoordinatorMessage.Learn(_, List<Integer> chunks) -> {
                seen = message.fence();
                lessons.begin(chunks).forEach(this::learn);
            }
            case CoordinatorMessage.Saved(_, long step) -> unpublished.remove(step);
            case CoordinatorMessage.Dismiss _ -> run.exits(this, "dismissed");
            case CoordinatorMessage.FlipBit _ -> throw new IllegalStateException("no weights here");
        }
    }

    private void abandon(Fence fence) {
        seen = fence;
        plan = Optional.empty();
        started = false;
        doing = Doing.NOTHING;
        work++;
        pause = Optional.empty();
        feeding.clear();
        fed.clear();
        lessons.end();
        storedVersion = -1;
        arrivals.clear();
        moving.clear();
        early.keySet().removeIf(f -> fence.newerThan(f));
    }

    /** Another worker dropped a frame of this one, because it saw a newer fence. */
    void staleSeen(Fence newer) {
        if (newer.newerThan(seen)) {
            abandon(newer);
            say(registration());
        }
    }

    /** Its device fails: it does nothing any more and says so. */
    void fail() {
        abandon(seen);
        run.failed(this);
    }

    private void install(GenerationPlan wanted) {
        abandon(wanted.fence());
        plan = Optional.of(wanted);
        int rank = wanted.rankOf(member.incarnation());
        state.rollForward(wanted.start());
        if (wanted.start() instanceof Start.Memory(_, _, List<ReshardPlan.Move> moves)) {
            for (ReshardPlan.Move move : moves) {
                for (int c = move.first(); c < move.end(); c++) {
                    if (move.from() == rank) {
                        run.frame(this, wanted.members().get(move.to()), seen,
                                new SimulatedFrame.Moved(c, state.versions.getOrDefault(c, -1L)));
                    } else if (move.to() == rank) {
                        moving.add(c);
                    }
                }
            }
        }
        early.getOrDefault(wanted.fence(), List.of()).stream()
                .filter(e -> e.getValue() instanceof SimulatedFrame.Moved)
                .forEach(e -> moved((SimulatedFrame.Moved) e.getValue()));
        installed();
    }

    private void moved(SimulatedFrame.Moved moved) {
        run.require(moving.remove(moved.chunk()), "a move of chunk " + moved.chunk());
        state.versions.put(moved.chunk(), moved.version());
    }

    /** When nothing is waited for any more. */
    private void installed() {
        GenerationPlan wanted = plan.orElseThrow();
        if (!moving.isEmpty()) {
            return;
        }
        int rank = wanted.rankOf(member.incarnation());
        Set<Integer> held = IntStream.of(wanted.placement().held(rank))
                .boxed().collect(Collectors.toSet());
        state.install(wanted.start(),
                new SimulatedState.Place(held, wanted.placement().slices(rank),
                        wanted.placement().layout().fetchesWeights()), wanted.gather(),
                member.name());
        say(new WorkerMessage.Installed(wanted.fence(), member.incarnation()));
        early.getOrDefault(wanted.fence(), List.of())
                .forEach(e -> {
                    if (!(e.getValue() instanceof SimulatedFrame.Moved)) {
                        arrive(e.getKey(), wanted.fence(), e.getValue());
                    }
                });
        early.remove(wanted.fence());
    }

    /** Between two steps. */
    private void boundary() {
        if (plan.isEmpty() || !started) {
            learnerPause();
            return;
        }
        doing = Doing.NOTHING;
        long version = version();
        feed(version);
        boolean pausing = pause.filter(p -> version >= p.step()).isPresent();
        boolean last = version == SimulatedRun.STEPS;
        boolean due = run.due(version) || last
                || pausing && pause.get().save();
        if (due && version > plan.get().saved() && storedVersion != version) {
            doing = Doing.STORING;
            storedVersion = version;
            broadcast(new SimulatedFrame.Stored(version));
            all(SimulatedFrame.Stored.class, version, Doing.STORING, this::stored);
            return;
        }
        if (pausing) {
            if (lessons.reached(pause.get().step())) {
                say(new WorkerMessage.Paused(seen, member.incarnation(), version));
            }
            return;
        }
        if (last) {
            say(new WorkerMessage.Finished(seen, member.incarnation(), version,
                    new StateDigest(version, version)));
            return;
        }
        doing = Doing.COMPUTING;
        long mine = ++work;
        run.later(run.random(5, 40), this, () -> {
            if (work == mine && doing == Doing.COMPUTING) {
                if (run.failsAt(version)) {
                    fail();
                } else {
                    computed(version);
                }
            }
        });
    }

    private void stored() {
        unpublished.put(version(), state.scalars.orElseThrow());
        fed.keySet().forEach(learner ->
                run.frame(this, learner, seen, new SimulatedFrame.Unpublished(state.scalars.orElseThrow())));
        if (plan.orElseThrow().rankOf(member.incarnation()) == 0) {
            sayStored(state.scalars.orElseThrow());
        }
        boundary();
    }

    private void sayStored(ScalarState of) {
        SimulatedState.stored(seen, of).forEach(this::say);
    }

    private void computed(long step) {
        doing = Doing.REDUCING;
        GenerationPlan p = plan.orElseThrow();
        int rank = p.rankOf(member.incarnation());
        var block = p.placement().block(rank);
        state.gradients.clear();
        if (p.placement().speaks(rank)) {
            broadcast(new SimulatedFrame.Partial(step, block));
        }
        proceed();
    }

    private void broadcast(SimulatedFrame frame) {
        plan.orElseThrow().members().forEach(other -> run.frame(this, other, seen, frame));
    }

    /** A frame of another worker, or of itself. */
    void receive(Incarnation from, Fence fence, SimulatedFrame frame) {
        if (silent()) {
            return;
        }
        if (seen.newerThan(fence)) {
            run.answerStale(this, from);
            return;
        }
        if (frame instanceof SimulatedFrame.Unpublished(ScalarState of)) {
            unpublished.put(of.step(), of);
            return;
        }
        if (frame instanceof SimulatedFrame.State || frame instanceof SimulatedFrame.Update) {
            if (!lessons.active() || fence.newerThan(seen)) {
                lessons.keep(frame);
            } else {
                learn(frame);
            }
            return;
        }
        if (plan.isEmpty() || !plan.get().fence().equals(fence)) {
            early.computeIfAbsent(fence, _ -> new ArrayList<>()).add(Map.entry(from, frame));
            return;
        }
        arrive(from, fence, frame);
    }

    private void arrive(Incarnation from, Fence fence, SimulatedFrame frame) {
        if (!fence.equals(seen)) {
            return;
        }
        switch (frame) {
            case SimulatedFrame.Moved moved -> {
                moved(moved);
                installed();
            }
            case SimulatedFrame.Partial partial -> {
                run.require(arrivals.partial(partial),
                        partial.block() + " came twice");
                reduced(partial.step());
            }
            case SimulatedFrame.Gradient gradient -> {
                arrivals.gradient(gradient);
                reduced(gradient.step());
            }
            case SimulatedFrame.Vote(long step) -> arrivals.heard(SimulatedFrame.Vote.class, step, from);
            case SimulatedFrame.Weights(long step) ->
                arrivals.heard(SimulatedFrame.Weights.class, step, from);
            case SimulatedFrame.Stored(long step) -> arrivals.heard(SimulatedFrame.Stored.class, step, from);
            case SimulatedFrame.State _, SimulatedFrame.Update _, SimulatedFrame.Unpublished _ ->
                throw new IllegalStateException("not here");
        }
        proceed();
    }

    private void proceed() {
        long version = version();
        switch (doing) {
            case STORING -> all(SimulatedFrame.Stored.class, version, Doing.STORING, this::stored);
            case REDUCING -> reduced(version);
            case VOTING -> all(SimulatedFrame.Vote.class, version, Doing.VOTING, this::apply);
            case GATHERING -> all(SimulatedFrame.Weights.class, version, Doing.GATHERING, this::gathered);
            case NOTHING, COMPUTING -> {
                // What arrived is kept.
            }
        }
    }

    private void all(Class<?> kind, long step, Doing when, Runnable then) {
        if (doing == when && arrivals.takeAll(kind, step, plan.orElseThrow().members().size())) {
            doing = Doing.NOTHING;
            then.run();
        }
    }

    private void reduced(long step) {
        if (doing != Doing.REDUCING || step != version()) {
            return;
        }
        GenerationPlan p = plan.orElseThrow();
        int rank = p.rankOf(member.incarnation());
        if (arrivals.takeSums(step, p.placement().virtualRanks())) {
            for (int c : p.placement().owned(rank)) {
                state.gradients.add(c);
                for (int holder : p.placement().holders(c)) {
                    if (holder != rank) {
                        run.frame(this, p.members().get(holder), seen,
                                new SimulatedFrame.Gradient(step, c));
                    }
                }
            }
        }
        state.gradients.addAll(arrivals.gradients(step));
        for (int c : p.placement().held(rank)) {
            if (!state.gradients.contains(c)) {
                return;
            }
        }
        arrivals.reduced(step);
        doing = Doing.VOTING;
        broadcast(new SimulatedFrame.Vote(step));
    }

    private void apply() {
        long step = version();
        GenerationPlan p = plan.orElseThrow();
        run.committed(step);
        Committed update = state.update(p.placement().held(p.rankOf(member.incarnation())));
        fed.forEach((learner, chunks) -> chunks.forEach(c ->
                run.frame(this, learner, seen, new SimulatedFrame.Update(c, update))));
        doing = Doing.GATHERING;
        broadcast(new SimulatedFrame.Weights(step + 1));
    }

    private void gathered() {
        state.gathered();
        say(new WorkerMessage.Stepped(seen, member.incarnation(), new Progress(version() - 1, 1, 1, 1,
                new StateDigest(0, 0), 1, new Progress.Totals(0, 0, 0, 0, 0),
                new Progress.Nanos(0, 20_000_000, 20_000_000, 0, 0, 0))));
        boundary();
    }

    private void feed(long version) {
        feeding.keySet().forEach(learner -> unpublished.values().forEach(of ->
                run.frame(this, learner, seen, new SimulatedFrame.Unpublished(of))));
        feeding.forEach((learner, chunks) -> chunks.forEach(c -> {
            run.frame(this, learner, seen, new SimulatedFrame.State(c, version));
            fed.computeIfAbsent(learner, _ -> new HashSet<>()).add(c);
        }));
        feeding.clear();
    }

    private void learn(SimulatedFrame frame) {
        OptionalLong reached = lessons.learn(frame);
        if (reached.isPresent() && plan.isEmpty()) {
            state.follow(Math.max(version(), reached.getAsLong()));
        }
        if (lessons.caughtUp()) {
            say(new WorkerMessage.CaughtUp(seen, member.incarnation(), version()));
        }
        if (doing == Doing.NOTHING) {
            boundary();
        }
    }

    private void learnerPause() {
        if (pause.isPresent() && lessons.active() && lessons.reached(pause.get().step())) {
            say(new WorkerMessage.Paused(seen, member.incarnation(), pause.get().step()));
            pause = Optional.empty();
        }
    }

    /** Whom it waits for, if it waits for the same as when it was asked last. */
    Optional<Member> waitsFor() {
        String now = seen + " " + doing + " " + version();
        boolean same = now.equals(waited);
        waited = now;
        if (!same || silent() || plan.isEmpty() || !started || doing == Doing.NOTHING
                || doing == Doing.COMPUTING) {
            return Optional.empty();
        }
        Class<?> kind = switch (doing) {
            case STORING -> SimulatedFrame.Stored.class;
            case VOTING -> SimulatedFrame.Vote.class;
            case GATHERING -> SimulatedFrame.Weights.class;
            case REDUCING, NOTHING, COMPUTING -> SimulatedFrame.Partial.class;
        };
        Set<Incarnation> from = arrivals.from(kind, version());
        return plan.get().members().stream()
                .filter(m -> !m.equals(member) && !from.contains(m.incarnation())).findFirst();
    }
}
