package castalia.workers.rank;

import static org.assertj.core.api.Assertions.assertThat;

import castalia.protocol.control.Committed;
import castalia.protocol.control.HolderReport;
import castalia.protocol.identity.Fence;
import castalia.protocol.identity.Incarnation;
import castalia.protocol.layout.ChunkGrid;
import castalia.protocol.layout.ParallelLayout;
import castalia.protocol.layout.Placement;
import castalia.protocol.layout.ReshardPlan;
import castalia.protocol.model.Parameter.Role;
import castalia.protocol.planner.Recomputation;
import castalia.protocol.specification.Initialisation;
import castalia.protocol.specification.TrainingPlan;
import castalia.protocol.step.ScalarState;
import castalia.protocol.step.StateDigest;
import castalia.workers.exchange.LocalTransport;
import castalia.workers.exchange.Transport;
import castalia.workers.state.HeldChunks;
import castalia.workers.state.InitialWeights;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.ArrayList;
import java.util.Collections;
import java.util.Comparator;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.function.BiFunction;
import java.util.function.Consumer;
import java.util.stream.IntStream;
import java.util.stream.Stream;

/** Ranks that are members of one generation after another, and a coordinator done by hand. */
final class Workers implements AutoCloseable {

    private final RankSettings settings;
    private final ChunkGrid grid;
    private final ExecutorService threads = Executors.newCachedThreadPool();
    private final List<TrainingRank> all = new ArrayList<>();
    private List<TrainingRank> members = List.of();
    private long generation;

    /** Makes {@code count} workers, members of nothing. */
    Workers(TrainingPlan plan, int count) {
        this.settings = RankSettings.of(plan, Recomputation.NONE);
        this.grid = settings.grid();
        for (int i = 0; i < count; i++) {
            all.add(new TrainingRank(settings, TinyRun.devices(1).apply(i)));
        }
    }

    TrainingRank worker(int index) {
        return all.get(index);
    }

    List<TrainingRank> members() {
        return members;
    }

    /** Runs a call on every member's own thread; one failure or none per member. */
    List<Optional<Throwable>> onMembers(Consumer<TrainingRank> call) {
        return members.stream()
                .map(rank -> CompletableFuture.runAsync(() -> call.accept(rank), threads)
                        .handle((_, e) -> Optional.ofNullable(e == null ? null : e.getCause())))
                .toList().stream().map(CompletableFuture::join).toList();
    }

    /** As {@link #onMembers}, where nothing may fail. */
    void onAll(Consumer<TrainingRank> call) {
        assertThat(onMembers(call)).allSatisfy(e -> assertThat(e).isEmpty());
    }

    void step() {
        onAll(this::step);
    }

    void step(TrainingRank rank) {
        rank.step(TinyRun.sources(settings.plan(), 1).getFirst());
    }

    /** A generation of the first {@code count} workers with the initial state. */
    void begin(int count, BiFunction<Integer, LocalTransport, Transport> transports) {
        begin(ParallelLayout.of(count), transports);
    }

    /** A generation of a layout's first workers with the initial state. */
    void begin(ParallelLayout layout, BiFunction<Integer, LocalTransport, Transport> transports) {
        all.forEach(rank -> {
            rank.leave();
            rank.held().close();
        });
        install(all.subList(0, layout.ranks()),
                Placement.of(grid, settings.plan().virtualRanks(), layout), transports);
        Initialisation.Drawn drawn = Initialisation.Drawn.published();
        InitialWeights initial = new InitialWeights(grid.layout(),
                (Role role) -> drawn.std(role, settings.plan().model()), settings.plan().seed());
        for (TrainingRank rank : members) {
            for (int chunk : rank.held().chunks()) {
                initial.fill(
                        grid.chunk(chunk), rank.held().weight(chunk), rank.kernels());
            }
        }
    }

    /** Members in this order take their places. */
    void install(
            List<TrainingRank> next, Placement placement,
            BiFunction<Integer, LocalTransport, Transport> transports) {
        all.forEach(TrainingRank::leave);
        members = List.copyOf(next);
        generation++;
        LocalTransport[] local = LocalTransport.connect(next.size(), TinyRun.DEADLINE);
        for (int r = 0; r < local.length; r++) {
            members.get(r).install(generation, placement, transports.apply(r, local[r]));
        }
    }

    /**
     * What a coordinator does when a generation is over: finds the newest version that can be
     * reached, rolls forward, makes a placement of the chunks' holders, and gathers.
     */
    void recover(List<TrainingRank> next) {
        List<HolderReport> reports = next.stream()
                .map(r -> r.report(new Fence(1, generation + 1), new Incarnation(all.indexOf(r))))
                .toList();
        ScalarState newest = reports.stream().flatMap(r -> r.scalars().stream())
                .max(Comparator.comparingLong(ScalarState::step)).orElseThrow();
        Optional<Committed> update = reports.stream().flatMap(r -> r.committed().stream())
                .max(Comparator.comparingLong(Committed::step));
        if (update.isPresent() && update.get().step() == newest.step()) {
            newest = next.getFirst().state().after(newest, update.get().verdict());
        }
        ScalarState target = newest;
        if (update.isPresent() && update.get().step() + 1 == target.step()) {
            next.forEach(rank -> rank.rollForward(update.get(), target));
        }
        requireOneState(next, target);
        install(next, placement(next, target.step()), (_, transport) -> transport);
        onAll(TrainingRank::dropOthers);
        onAll(TrainingRank::gather);
        assertThat(next).allSatisfy(rank ->
                assertThat(rank.weightsVersion()).isEqualTo(target.step()));
    }

    private void requireOneState(List<TrainingRank> next, ScalarState target) {
        for (TrainingRank rank : next) {
            for (int chunk : rank.held().chunks()) {
                assertThat(rank.held().version(chunk)).as("chunk %d", chunk)
                        .isEqualTo(target.step());
            }
            if (rank.held().chunks().length == 0) {
                rank.state().begin(target);
            }
            assertThat(rank.scalars()).isEqualTo(target);
        }
    }

    /** The last holder owns, another is buddy if there is one: roles change every time. */
    private Placement placement(List<TrainingRank> next, long version) {
        int[] owners = new int[grid.size()];
        int[] buddies = new int[grid.size()];
        for (int c = 0; c < grid.size(); c++) {
            owners[c] = Placement.NONE;
            buddies[c] = Placement.NONE;
            for (int r = 0; r < next.size(); r++) {
                HeldChunks held = next.get(r).held();
                if (held.holds(c) && held.version(c) == version) {
                    buddies[c] = owners[c];
                    owners[c] = r;
                }
            }
            assertThat(owners[c]).as("holder of chunk %d", c).isNotNegative();
        }
        return Placement.of(settings.grid(), settings.plan().virtualRanks(), next.size(), owners,
                buddies);
    }

    /** What a learner does. */
    void copy(TrainingRank from, TrainingRank to, int chunk) {
        to.held().add(chunk);
        to.held().weight(chunk).segment().copyFrom(from.held().weight(chunk).segment());
        to.held().firstMoment(chunk).segment().copyFrom(from.held().firstMoment(chunk).segment());
        to.held().secondMoment(chunk).segment()
                .copyFrom(from.held().secondMoment(chunk).segment());
        to.held().loaded(chunk, from.held().version(chunk));
        to.state().begin(from.scalars());
        assertThat(to.held().digest(chunk)).isEqualTo(from.held().digest(chunk));
    }

    /**
     * Gives the state another place on the first workers; chunks move to where they lack, those that
     * only others hold are copied.
     */
    void reshape(Placement placement) {
        List<TrainingRank> next = all.subList(0, placement.ranks());
        long version = members.getFirst().scalars().step();
        ScalarState scalars = members.getFirst().scalars();
        List<List<Integer>> holders = new ArrayList<>();
        for (int c = 0; c < grid.size(); c++) {
            int chunk = c;
            TrainingRank from = members.stream().filter(rank -> rank.held().holds(chunk)
                    && rank.held().version(chunk) == version).findFirst().orElseThrow();
            List<Integer> there = IntStream.range(0, next.size()).boxed()
                    .filter(r -> next.get(r).held().holds(chunk)
                            && next.get(r).held().version(chunk) == version)
                    .toList();
            if (there.isEmpty()) {
                int to = placement.owner(chunk);
                copy(from, next.get(to), chunk);
                there = List.of(to);
            }
            holders.add(there);
        }
        ReshardPlan plan = ReshardPlan.of(
                grid, placement, holders, Collections.nCopies(next.size(), "node"));
        install(next, placement, (_, transport) -> transport);
        // windows so small that some hold one chunk and some a few
        onAll(rank -> ChunkCarrier.carry(rank, grid, scalars, plan.moves(), 1 << 13));
        onAll(rank -> rank.resume(scalars));
        onAll(TrainingRank::dropOthers);
        onAll(TrainingRank::gather);
    }

    /** As {@link #reshape}, by way of a checkpoint: owners store, others of the first workers load. */
    void restore(Placement placement) {
        Map<Integer, float[][]> stored = new ConcurrentHashMap<>();
        ScalarState scalars = members.getFirst().scalars();
        onAll(rank -> StateTransfer.save(rank, grid, (chunk, digest, weights, first, second) -> {
            assertThat(digest).isEqualTo(rank.held().digest(chunk));
            stored.put(chunk, Stream.of(weights, first, second)
                    .map(of -> of.toArray(ValueLayout.JAVA_FLOAT)).toArray(float[][]::new));
        }));
        assertThat(stored).hasSize(grid.size());
        all.forEach(rank -> {
            rank.leave();
            rank.held().close();
        });
        install(all.subList(0, placement.ranks()), placement, (_, transport) -> transport);
        onAll(rank -> StateTransfer.load(rank, grid, scalars, (chunk, weights, first, second) -> {
            weights.copyFrom(MemorySegment.ofArray(stored.get(chunk)[0]));
            first.copyFrom(MemorySegment.ofArray(stored.get(chunk)[1]));
            second.copyFrom(MemorySegment.ofArray(stored.get(chunk)[2]));
        }));
    }

    ChunkGrid grid() {
        return grid;
    }

    int chunks() {
        return grid.size();
    }

    StateDigest digest() {
        StateDigest sum = StateDigest.ZERO;
        for (TrainingRank rank : members) {
            sum = sum.plus(rank.ownedDigest());
        }
        return sum;
    }

    @Override
    public void close() {
        all.forEach(TrainingRank::close);
        threads.shutdownNow();
    }
}
