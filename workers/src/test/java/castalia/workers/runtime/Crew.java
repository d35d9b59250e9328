package castalia.workers.runtime;

import static org.assertj.core.api.Assertions.assertThat;

import castalia.protocol.checkpoint.ChunkEntry;
import castalia.protocol.control.CoordinatorMessage;
import castalia.protocol.control.GenerationPlan;
import castalia.protocol.control.GenerationPlan.Start;
import castalia.protocol.control.HolderReport;
import castalia.protocol.control.WorkerMessage;
import castalia.protocol.identity.Fence;
import castalia.protocol.identity.Incarnation;
import castalia.protocol.identity.Member;
import castalia.protocol.layout.ChunkGrid;
import castalia.protocol.layout.ParallelLayout;
import castalia.protocol.layout.Placement;
import castalia.protocol.run.RollForward;
import castalia.protocol.specification.Initialisation;
import castalia.protocol.specification.TrainingPlan;
import castalia.protocol.step.ScalarState;
import castalia.protocol.step.StateDigest;
import castalia.workers.data.BatchShape;
import castalia.workers.data.BatchSource;
import castalia.workers.exchange.DataPlane;
import castalia.workers.exchange.socket.SocketDataPlane;
import castalia.workers.exchange.socket.SocketSettings;
import castalia.workers.model.Recomputation;
import castalia.workers.rank.RankSettings;
import castalia.workers.rank.StateTransfer;
import castalia.workers.rank.TinyRun;
import java.io.FileNotFoundException;
import java.io.IOException;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.time.Duration;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.locks.LockSupport;
import java.util.function.LongPredicate;

/** Workers in one process and a coordinator done by hand. */
final class Crew implements AutoCloseable {

    static final Duration LONGEST = Duration.ofSeconds(30);

    final RankSettings settings;
    final ChunkGrid grid;
    final LocalPlanes planes = new LocalPlanes();
    boolean sockets;
    /** ZeRO stage of every generation. */
    int zero = 1;
    /** How long a micro-batch takes to read, so that messages come in time. */
    int fillMillis;
    final MemoryCheckpoints storage = new MemoryCheckpoints();
    final Map<Member, WorkerRuntime> workers = new HashMap<>();
    final BlockingQueue<WorkerMessage> said = new LinkedBlockingQueue<>();
    final BlockingQueue<String> dismissals = new LinkedBlockingQueue<>();
    final List<WorkerMessage> heard = new ArrayList<>();
    private final long steps;
    private final LongPredicate due;
    private final Optional<WorkerParts.Validation> validation;
    Fence fence = new Fence(1, 0);

    Crew(TrainingPlan plan, long steps, LongPredicate due,
            Optional<WorkerParts.Validation> validation) {
        this.settings = RankSettings.of(plan, Recomputation.NONE);
        this.grid = settings.grid();
        this.steps = steps;
        this.due = due;
        this.validation = validation;
    }

    /** A new worker. */
    Member add(int number) {
        Incarnation life = new Incarnation(number + 100);
        DataPlane plane = sockets
                ? SocketDataPlane.open(SocketSettings.of("ab".repeat(32), life, "n", _ -> {}))
                : planes.plane(life);
        Member member = new Member(life, "w" + number, "n", number, plane.endpoint());
        WorkerParts parts = new WorkerParts(settings, () -> TinyRun.devices(1).apply(number),
                plane,
                new WorkerMessage.Registered(member, "run", "nv", "build", "cpu", Fence.NONE),
                new SlowSource(TinyRun.sources(settings.plan(), 1).getFirst(), fillMillis),
                LONGEST, validation, due, steps,
                StateTransfer.drawn(settings, Initialisation.Drawn.published()),
                storage, said::add, dismissals::add);
        workers.put(member, new WorkerRuntime(parts));
        return member;
    }

    void send(Member to, CoordinatorMessage message) {
        workers.get(to).accept(message);
    }

    /** The next message of a kind; others are kept in {@link #heard}. */
    <T extends WorkerMessage> T await(Class<T> kind) {
        long end = System.nanoTime() + LONGEST.toNanos();
        while (true) {
            WorkerMessage next;
            try {
                next = said.poll(end - System.nanoTime(), TimeUnit.NANOSECONDS);
            } catch (InterruptedException e) {
                throw new IllegalStateException(e);
            }
            assertThat(next).as("a message of " + kind.getSimpleName() + " after " + tail())
                    .isNotNull();
            heard.add(next);
            if (kind.isInstance(next)) {
                return kind.cast(next);
            }
            assertThat(next).isNotInstanceOf(WorkerMessage.Failed.class);
        }
    }

    private List<WorkerMessage> tail() {
        return heard.subList(Math.max(0, heard.size() - 5), heard.size());
    }

    <T extends WorkerMessage> List<T> await(Class<T> kind, int count) {
        List<T> all = new ArrayList<>();
        for (int i = 0; i < count; i++) {
            all.add(await(kind));
        }
        return all;
    }

    /** Waits until some worker has completed so many steps. */
    void awaitStep(long completed) {
        while (await(WorkerMessage.Stepped.class).progress().step() + 1 < completed) {
            // Further steps.
        }
    }

    <T extends WorkerMessage> List<T> heard(Class<T> kind) {
        return heard.stream().filter(kind::isInstance).map(kind::cast).toList();
    }

    /** Begins a generation and lets it step. */
    void begin(List<Member> members, Start start, long saved) {
        begin(members, Placement.of(grid, settings.plan().virtualRanks(), layout(members)), start,
                true, saved);
    }

    private ParallelLayout layout(List<Member> members) {
        return new ParallelLayout(members.size(), 1, zero, 1);
    }

    void begin(
            List<Member> members, Placement placement, Start start, boolean gather, long saved) {
        install(members, placement, start, gather, saved);
        members.forEach(m -> send(m, new CoordinatorMessage.Start(fence)));
    }

    void install(
            List<Member> members, Placement placement, Start start, boolean gather, long saved) {
        GenerationPlan plan =
                new GenerationPlan(fence, members, placement, start, gather, saved);
        members.forEach(m -> send(m, new CoordinatorMessage.Install(plan)));
        await(WorkerMessage.Installed.class, members.size());
    }

    /** Ends the generation and asks everybody. */
    List<HolderReport> query(List<Member> of) {
        fence = fence.next(1);
        of.forEach(m -> send(m, new CoordinatorMessage.Query(fence)));
        List<HolderReport> reports = new ArrayList<>();
        while (reports.size() < of.size()) {
            HolderReport report = await(WorkerMessage.Reported.class).report();
            if (report.fence().equals(fence)) {
                reports.add(report);
            }
        }
        return reports;
    }

    /** Goes on from what is in memory: the last holder of a chunk owns it. */
    ScalarState recover(List<Member> members, long saved) {
        List<HolderReport> reports = query(members);
        RollForward.Memory memory = (RollForward.Memory) RollForward.of(reports, grid.size());
        int[] owners = new int[grid.size()];
        int[] buddies = new int[grid.size()];
        for (int c = 0; c < grid.size(); c++) {
            owners[c] = Placement.NONE;
            buddies[c] = Placement.NONE;
            for (int r = 0; r < members.size(); r++) {
                if (memory.holders().get(c).contains(members.get(r).incarnation())) {
                    buddies[c] = owners[c];
                    owners[c] = r;
                }
            }
        }
        long version = memory.scalars().step();
        boolean gather = reports.stream().anyMatch(r -> r.weights() != version);
        begin(members, Placement.of(layout(members), settings.plan().virtualRanks(),
                settings.plan().tensorSlices(), members.size(),
                Placement.Holdings.of(grid, owners, buddies)),
                new Start.Memory(memory.scalars(), memory.update(), List.of()), gather, saved);
        return memory.scalars();
    }

    /** What every member says at the end. */
    StateDigest finish(int members) {
        List<WorkerMessage.Finished> all = await(WorkerMessage.Finished.class, members);
        assertThat(all).allSatisfy(f -> {
            assertThat(f.step()).isEqualTo(steps);
            assertThat(f.digest()).isEqualTo(all.getFirst().digest());
        });
        return all.getFirst().digest();
    }

    @Override
    public void close() {
        workers.values().forEach(WorkerRuntime::close);
    }

    /** A source that takes its time. */
    private record SlowSource(BatchSource source, int millis) implements BatchSource {

        @Override
        public BatchShape shape() {
            return source.shape();
        }

        @Override
        public int vocabularySize() {
            return source.vocabularySize();
        }

        @Override
        public void fill(long step, int virtualRank, int microBatch, MemorySegment inputs,
                MemorySegment labels) {
            LockSupport.parkNanos(millis * 1_000_000L);
            source.fill(step, virtualRank, microBatch, inputs, labels);
        }

        @Override
        public List<String> description() {
            return source.description();
        }
    }

    /** Checkpoints in memory, by step and chunk. */
    final class MemoryCheckpoints implements CheckpointPort {

        int mostUnpublished = 256;

        private record Stored(
                StateDigest digest, float[] weights, float[] first, float[] second) {}

        final Map<Long, Map<Integer, Stored>> steps = new ConcurrentHashMap<>();
        final Map<Long, ScalarState> scalars = new ConcurrentHashMap<>();

        @Override
        public Writing begin(ScalarState state) {
            scalars.put(state.step(), state);
            Map<Integer, Stored> chunks =
                    steps.computeIfAbsent(state.step(), _ -> new ConcurrentHashMap<>());
            return new Writing() {
                @Override
                public ChunkEntry add(int chunk, StateDigest digest, MemorySegment weights,
                        MemorySegment first, MemorySegment second) {
                    chunks.put(chunk, new Stored(
                            digest, floats(weights), floats(first), floats(second)));
                    return new ChunkEntry(grid.chunk(chunk),
                            String.format("%064x", chunk + 1), weights.byteSize(), digest);
                }

                @Override
                public void settle() {}
            };
        }

        @Override
        public int mostUnpublished() {
            return mostUnpublished;
        }

        private float[] floats(MemorySegment from) {
            return from.toArray(ValueLayout.JAVA_FLOAT);
        }

        @Override
        public Reading open(long step) throws IOException {
            Map<Integer, Stored> chunks = steps.get(step);
            if (chunks == null) {
                throw new FileNotFoundException("no checkpoint of step " + step);
            }
            return new Reading() {
                @Override
                public ScalarState scalars() {
                    return scalars.get(step);
                }

                @Override
                public StateDigest digest(int chunk) {
                    return chunks.get(chunk).digest();
                }

                @Override
                public void read(int chunk, MemorySegment weights, MemorySegment first,
                        MemorySegment second) {
                    weights.copyFrom(MemorySegment.ofArray(chunks.get(chunk).weights()));
                    first.copyFrom(MemorySegment.ofArray(chunks.get(chunk).first()));
                    second.copyFrom(MemorySegment.ofArray(chunks.get(chunk).second()));
                }
            };
        }
    }
}
