package castalia.protocol.run;

import castalia.protocol.checkpoint.ChunkEntry;
import castalia.protocol.control.Committed;
import castalia.protocol.control.CoordinatorMessage;
import castalia.protocol.control.GenerationPlan;
import castalia.protocol.control.GenerationPlan.Start;
import castalia.protocol.control.HolderReport;
import castalia.protocol.control.Progress;
import castalia.protocol.control.WorkerMessage;
import castalia.protocol.identity.Endpoint;
import castalia.protocol.identity.Fence;
import castalia.protocol.identity.Incarnation;
import castalia.protocol.identity.Member;
import castalia.protocol.layout.Chunk;
import castalia.protocol.step.ScalarState;
import castalia.protocol.step.StateDigest;
import castalia.protocol.step.Verdict;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.BitSet;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Queue;
import java.util.Set;
import java.util.SortedMap;
import java.util.TreeMap;

/**
 * A worker without arithmetic: it follows DESIGN's step, and its chunks know their version only.
 * Everything it is told arrives as an event of the {@link SimulatedRun}.
 */
final class SimulatedWorker {

    /** What ranks send each other. */
    sealed interface Frame {
        /** Virtual ranks of the sender, folded, for every chunk the receiver owns. */
        record Partial(long step, int first, int count) implements Frame {}

        /** Finished gradients, from owner to buddy. */
        record Gradient(long step, int chunk) implements Frame {}

        record Vote(long step) implements Frame {}

        record Weights(long step) implements Frame {}

        record Stored(long step) implements Frame {}

        /** To a learner: a step that is stored and not known to be published. */
        record Unpublished(ScalarState scalars) implements Frame {}

        /** Base copy of a chunk. */
        record State(int chunk, long version) implements Frame {}

        /** The committed gradient of a chunk. */
        record Update(int chunk, Committed committed) implements Frame {}
    }

    private enum Doing { NOTHING, STORING, COMPUTING, REDUCING, VOTING, GATHERING }

    final SimulatedRun run;
    final Member member;
    boolean dead;
    boolean frozen;
    final Queue<Runnable> pending = new ArrayDeque<>();
    Fence seen = Fence.NONE;

    private final Map<Integer, Long> versions = new TreeMap<>();
    private final Set<Integer> gradients = new HashSet<>();
    private final Map<Fence, List<Map.Entry<Incarnation, Frame>>> early = new HashMap<>();
    private Optional<ScalarState> scalars = Optional.empty();
    private Optional<Committed> committed = Optional.empty();
    private long weights = -1;

    private Optional<GenerationPlan> plan = Optional.empty();
    private boolean started;
    private Doing doing = Doing.NOTHING;
    private Set<Incarnation> heard = new HashSet<>();
    private final Map<Class<?>, Map<Long, Set<Incarnation>>> arrived = new HashMap<>();
    private final Map<Long, BitSet> leaves = new HashMap<>();
    private final Map<Long, Set<Integer>> finishedGradients = new HashMap<>();
    private Optional<CoordinatorMessage.Pause> pause = Optional.empty();
    private long storedVersion = -1;
    private long work;

    private final Map<Member, Set<Integer>> feeding = new HashMap<>();
    private final Map<Member, Set<Integer>> fed = new HashMap<>();
    private Set<Integer> toLearn = Set.of();
    private final List<Frame> lessons = new ArrayList<>();
    private boolean caughtUp;
    private final SortedMap<Long, ScalarState> unpublished = new TreeMap<>();
    private String waited = "";

    SimulatedWorker(SimulatedRun run, long id, String node) {
        this.run = run;
        this.member = new Member(new Incarnation(id), "w" + id, node, id,
                new Endpoint("127.0.0.1", 1, Optional.empty()));
    }

    private boolean silent() {
        return dead || frozen;
    }

    private long version() {
        return scalars.map(ScalarState::step).orElse(-1L);
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
                say(new WorkerMessage.Reported(report(fence)));
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
                toLearn = new HashSet<>(chunks);
                caughtUp = false;
                List<Frame> before = List.copyOf(lessons);
                lessons.clear();
                before.forEach(this::learn);
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
        toLearn = Set.of();
        lessons.clear();
        storedVersion = -1;
        arrived.clear();
        leaves.clear();
        finishedGradients.clear();
        early.keySet().removeIf(f -> fence.newerThan(f));
    }

    private HolderReport report(Fence fence) {
        List<HolderReport.Held> chunks = versions.entrySet().stream()
                .map(e -> new HolderReport.Held(e.getKey(), e.getValue(),
                        gradients.contains(e.getKey()), digest(e.getKey(), e.getValue())))
                .toList();
        return new HolderReport(
                fence, member.incarnation(), scalars, chunks, weights, committed);
    }

    static StateDigest digest(int chunk, long version) {
        return new StateDigest(chunk * 1_000_003L + version, version * 31 + chunk);
    }

    private void install(GenerationPlan wanted) {
        abandon(wanted.fence());
        plan = Optional.of(wanted);
        int rank = wanted.rankOf(member.incarnation());
        Set<Integer> held = new HashSet<>();
        for (int c : wanted.placement().held(rank)) {
            held.add(c);
        }
        versions.keySet().retainAll(held);
        switch (wanted.start()) {
            case Start.Initial() -> load(held, 0);
            case Start.Checkpoint(long step) -> {
                run.require(run.published.contains(step), "checkpoint of step " + step);
                load(held, step);
            }
            case Start.Memory(ScalarState target, Optional<Committed> update, _) -> {
                update.ifPresent(u -> versions.replaceAll((c, v) ->
                        v == u.step() && gradients.contains(c) ? v + 1 : v));
                for (int c : held) {
                    run.require(versions.getOrDefault(c, -1L) == target.step(), member.name()
                            + " lacks chunk " + c + " of version " + target.step());
                }
                scalars = Optional.of(target);
            }
        }
        gradients.clear();
        if (wanted.gather()) {
            weights = version();
        }
        run.require(weights == version(), "weights of version " + weights);
        say(new WorkerMessage.Installed(wanted.fence(), member.incarnation()));
        early.getOrDefault(wanted.fence(), List.of())
                .forEach(e -> arrive(e.getKey(), wanted.fence(), e.getValue()));
        early.remove(wanted.fence());
    }

    private void load(Set<Integer> held, long version) {
        versions.clear();
        held.forEach(c -> versions.put(c, version));
        scalars = Optional.of(new ScalarState(version, version, 1, 0, -1, 1));
        committed = Optional.empty();
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
            broadcast(new Frame.Stored(version));
            all(Frame.Stored.class, version, Doing.STORING, this::stored);
            return;
        }
        if (pausing) {
            if (learned(pause.get().step())) {
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
                computed(version);
            }
        });
    }

    private void stored() {
        unpublished.put(version(), scalars.orElseThrow());
        fed.keySet().forEach(learner ->
                run.frame(this, learner, seen, new Frame.Unpublished(scalars.orElseThrow())));
        if (plan.orElseThrow().rankOf(member.incarnation()) == 0) {
            sayStored(scalars.orElseThrow());
        }
        boundary();
    }

    private void sayStored(ScalarState of) {
        List<ChunkEntry> entries = new ArrayList<>();
        for (Chunk chunk : SimulatedRun.GRID.chunks()) {
            entries.add(new ChunkEntry(chunk, String.format("%064x", of.step()),
                    100, digest(chunk.index(), of.step())));
        }
        int half = entries.size() / 2;
        say(new WorkerMessage.Stored(seen, of, entries.subList(0, half), entries.size()));
        say(new WorkerMessage.Stored(
                seen, of, entries.subList(half, entries.size()), entries.size()));
    }

    private void computed(long step) {
        doing = Doing.REDUCING;
        GenerationPlan p = plan.orElseThrow();
        var block = p.placement().block(p.rankOf(member.incarnation()));
        gradients.clear();
        for (Member other : p.members()) {
            run.frame(this, other, seen, new Frame.Partial(step, block.first(), block.count()));
        }
    }

    private void broadcast(Frame frame) {
        plan.orElseThrow().members().forEach(other -> run.frame(this, other, seen, frame));
    }

    /** A frame of another worker, or of itself. */
    void receive(Incarnation from, Fence fence, Frame frame) {
        if (silent()) {
            return;
        }
        if (seen.newerThan(fence)) {
            run.stale++;
            return;
        }
        if (frame instanceof Frame.Unpublished(ScalarState of)) {
            unpublished.put(of.step(), of);
            return;
        }
        if (frame instanceof Frame.State || frame instanceof Frame.Update) {
            if (toLearn.isEmpty() || fence.newerThan(seen)) {
                lessons.add(frame);
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

    private void arrive(Incarnation from, Fence fence, Frame frame) {
        if (!fence.equals(seen)) {
            return;
        }
        switch (frame) {
            case Frame.Partial(long step, int first, int count) -> {
                BitSet set = leaves.computeIfAbsent(step, _ -> new BitSet());
                run.require(set.get(first, first + count).isEmpty(),
                        "virtual ranks from " + first + " came twice");
                set.set(first, first + count);
                reduced(step);
            }
            case Frame.Gradient(long step, int chunk) -> {
                finishedGradients.computeIfAbsent(step, _ -> new HashSet<>()).add(chunk);
                reduced(step);
            }
            case Frame.Vote(long step) -> heardFrom(Frame.Vote.class, step, from);
            case Frame.Weights(long step) -> heardFrom(Frame.Weights.class, step, from);
            case Frame.Stored(long step) -> heardFrom(Frame.Stored.class, step, from);
            case Frame.State _, Frame.Update _, Frame.Unpublished _ -> throw new IllegalStateException("not here");
        }
        proceed();
    }

    private void heardFrom(Class<?> kind, long step, Incarnation from) {
        arrived.computeIfAbsent(kind, _ -> new HashMap<>())
                .computeIfAbsent(step, _ -> new HashSet<>()).add(from);
    }

    private void proceed() {
        long version = version();
        switch (doing) {
            case STORING -> all(Frame.Stored.class, version, Doing.STORING, this::stored);
            case REDUCING -> reduced(version);
            case VOTING -> all(Frame.Vote.class, version, Doing.VOTING, this::apply);
            case GATHERING -> all(Frame.Weights.class, version, Doing.GATHERING, this::gathered);
            case NOTHING, COMPUTING -> {
                // What arrived is kept.
            }
        }
    }

    private void all(Class<?> kind, long step, Doing when, Runnable then) {
        Set<Incarnation> from = arrived.getOrDefault(kind, Map.of()).getOrDefault(step, Set.of());
        if (doing == when && from.size() == plan.orElseThrow().members().size()) {
            arrived.get(kind).remove(step);
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
        BitSet set = leaves.getOrDefault(step, new BitSet());
        if (set.cardinality() == p.placement().virtualRanks()) {
            leaves.put(step, new BitSet());
            for (int c : p.placement().owned(rank)) {
                gradients.add(c);
                int buddy = p.placement().buddy(c);
                if (buddy >= 0) {
                    run.frame(this, p.members().get(buddy), seen, new Frame.Gradient(step, c));
                }
            }
        }
        gradients.addAll(finishedGradients.getOrDefault(step, Set.of()));
        for (int c : p.placement().held(rank)) {
            if (!gradients.contains(c)) {
                return;
            }
        }
        leaves.remove(step);
        finishedGradients.remove(step);
        doing = Doing.VOTING;
        broadcast(new Frame.Vote(step));
    }

    private void apply() {
        long step = version();
        Committed update = new Committed(
                step, new Verdict.Apply(1, 1, new StateDigest(step, step), 1));
        run.committed(step);
        committed = Optional.of(update);
        GenerationPlan p = plan.orElseThrow();
        for (int c : p.placement().held(p.rankOf(member.incarnation()))) {
            run.require(versions.get(c) == step && gradients.remove(c), "update of chunk " + c);
            versions.put(c, step + 1);
        }
        fed.forEach((learner, chunks) -> chunks.forEach(c ->
                run.frame(this, learner, seen, new Frame.Update(c, update))));
        scalars = scalars.map(ScalarState::applied);
        weights = -1;
        doing = Doing.GATHERING;
        broadcast(new Frame.Weights(step + 1));
    }

    private void gathered() {
        weights = version();
        say(new WorkerMessage.Stepped(seen, member.incarnation(), new Progress(version() - 1, 1, 1, 1,
                new StateDigest(0, 0), 1, new Progress.Totals(0, 0, 0, 0, 0),
                new Progress.Nanos(0, 20_000_000, 20_000_000, 0, 0))));
        boundary();
    }

    private void feed(long version) {
        feeding.keySet().forEach(learner -> unpublished.values().forEach(of ->
                run.frame(this, learner, seen, new Frame.Unpublished(of))));
        feeding.forEach((learner, chunks) -> chunks.forEach(c -> {
            run.frame(this, learner, seen, new Frame.State(c, version));
            fed.computeIfAbsent(learner, _ -> new HashSet<>()).add(c);
        }));
        feeding.clear();
    }

    private void learn(Frame frame) {
        switch (frame) {
            case Frame.State(int chunk, long version) -> {
                if (toLearn.contains(chunk)) {
                    versions.put(chunk, version);
                    learnedTo(version);
                }
            }
            case Frame.Update(int chunk, Committed update) -> {
                if (toLearn.contains(chunk)) {
                    run.require(versions.getOrDefault(chunk, -1L) == update.step(),
                            "a learner's update of chunk " + chunk);
                    versions.put(chunk, update.step() + 1);
                    learnedTo(update.step() + 1);
                }
            }
            case Frame.Partial _, Frame.Gradient _, Frame.Vote _, Frame.Weights _,
                    Frame.Stored _, Frame.Unpublished _ ->
                throw new IllegalStateException("not learnt");
        }
        if (!caughtUp && learned(-1)) {
            caughtUp = true;
            say(new WorkerMessage.CaughtUp(seen, member.incarnation(), version()));
        }
        if (doing == Doing.NOTHING) {
            boundary();
        }
    }

    private void learnedTo(long version) {
        if (plan.isEmpty()) {
            long most = Math.max(version(), version);
            scalars = Optional.of(new ScalarState(most, most, 1, 0, -1, 1));
        }
    }

    /** Whether all chunks to learn are there, at {@code step} or later. */
    private boolean learned(long step) {
        return toLearn.stream().allMatch(c -> versions.getOrDefault(c, -2L) >= step
                && versions.containsKey(c));
    }

    private void learnerPause() {
        if (pause.isPresent() && !toLearn.isEmpty() && learned(pause.get().step())) {
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
            case STORING -> Frame.Stored.class;
            case VOTING -> Frame.Vote.class;
            case GATHERING -> Frame.Weights.class;
            case REDUCING, NOTHING, COMPUTING -> Frame.Partial.class;
        };
        Set<Incarnation> from =
                arrived.getOrDefault(kind, Map.of()).getOrDefault(version(), Set.of());
        return plan.get().members().stream()
                .filter(m -> !m.equals(member) && !from.contains(m.incarnation())).findFirst();
    }

    Map<Integer, Long> versions() {
        return versions;
    }
}
