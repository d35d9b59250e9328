package castalia.workers.runtime;

import static org.assertj.core.api.Assertions.assertThat;

import castalia.protocol.control.CoordinatorMessage;
import castalia.protocol.control.GenerationPlan.Start;
import castalia.protocol.control.GenerationPlan;
import castalia.protocol.control.HolderReport;
import castalia.protocol.control.WorkerMessage;
import castalia.protocol.identity.Fence;
import castalia.protocol.identity.Incarnation;
import castalia.protocol.identity.Member;
import castalia.protocol.layout.ChunkGrid;
import castalia.protocol.layout.ParallelLayout;
import castalia.protocol.layout.Placement;
import castalia.protocol.planner.Recomputation;
import castalia.protocol.run.RollForward;
import castalia.protocol.specification.TrainingPlan;
import castalia.protocol.step.ScalarState;
import castalia.protocol.step.StateDigest;
import castalia.workers.exchange.DataPlane;
import castalia.workers.exchange.socket.SocketDataPlane;
import castalia.workers.exchange.socket.SocketSettings;
import castalia.workers.rank.RankSettings;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Collection;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
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
    /** How long a micro-batch takes to read: what is done meanwhile comes in the middle of steps. */
    int fillMillis;
    /**
     * The step that members do not read in the generation that begins next, before {@link #goOn} or
     * a query: what is to reach them in time is sent before, however slow this thread is.
     */
    long held = Long.MAX_VALUE;
    final MemoryCheckpoints storage;
    final Map<Member, WorkerRuntime> workers = new HashMap<>();
    final BlockingQueue<WorkerMessage> said = new LinkedBlockingQueue<>();
    final BlockingQueue<String> dismissals = new LinkedBlockingQueue<>();
    final List<WorkerMessage> heard = new ArrayList<>();
    private final Kit kit;
    private final Set<Member> killed = ConcurrentHashMap.newKeySet();
    private volatile long gate = Long.MAX_VALUE;
    Fence fence = new Fence(1, 0);

    Crew(TrainingPlan plan, long steps, LongPredicate due,
            Optional<WorkerParts.Validation> validation) {
        this.settings = RankSettings.of(plan, Recomputation.NONE);
        this.grid = settings.grid();
        this.storage = new MemoryCheckpoints(grid);
        this.kit = new Kit(settings, storage, _ -> fillMillis, steps, due, validation);
    }

    /** A new worker. */
    Member add(int number) {
        Incarnation life = new Incarnation(number + 100);
        DataPlane plane = sockets
                ? SocketDataPlane.open(SocketSettings.of(Kit.RUN, life, "n", _ -> {}))
                : planes.plane(life);
        Member member = new Member(life, "w" + number, "n", number, plane.endpoint());
        workers.put(member, new WorkerRuntime(kit.parts(member, plane, said::add, dismissals::add,
                step -> awaitGate(member, step))));
        return member;
    }

    private void awaitGate(Member member, long step) {
        while (step >= gate && !killed.contains(member)) {
            LockSupport.parkNanos(1_000_000);
        }
    }

    /** Has members read further steps, up to that one, which they do not read. */
    void goOn(long before) {
        gate = before;
    }

    /** Ends a worker as if its process were killed. */
    void kill(Member member) {
        killed.add(member); // whoever reads does not end
        workers.get(member).close();
        goOn(Long.MAX_VALUE); // nobody completes a step without it
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
        awaitStep(completed, workers.keySet());
    }

    /** Waits until one of those has completed so many steps. */
    void awaitStep(long completed, Collection<Member> of) {
        WorkerMessage.Stepped last;
        do {
            last = await(WorkerMessage.Stepped.class);
        } while (last.progress().step() + 1 < completed || !isOf(last.worker(), of));
    }

    private static boolean isOf(Incarnation worker, Collection<Member> members) {
        return members.stream().anyMatch(member -> member.incarnation().equals(worker));
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
        goOn(held);
        held = Long.MAX_VALUE;
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
        goOn(Long.MAX_VALUE); // whoever reads does not answer
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
            assertThat(f.step()).isEqualTo(kit.steps());
            assertThat(f.digest()).isEqualTo(all.getFirst().digest());
        });
        return all.getFirst().digest();
    }

    @Override
    public void close() {
        goOn(Long.MAX_VALUE);
        workers.values().forEach(WorkerRuntime::close);
    }
}
