package castalia.deploy.bench.collective;

import castalia.deploy.cluster.OrphanWatch;
import castalia.deploy.shell.CastaliaHome;
import castalia.deploy.shell.JsonOption;
import castalia.deploy.train.Hosting;
import castalia.deploy.train.Wiring;
import castalia.kernels.Device;
import castalia.protocol.identity.Fence;
import castalia.protocol.identity.Incarnation;
import castalia.protocol.identity.Member;
import castalia.protocol.layout.ChunkGrid;
import castalia.protocol.layout.FlatLayout;
import castalia.protocol.layout.Placement;
import castalia.protocol.model.PythiaModels;
import castalia.protocol.planner.Recomputation;
import castalia.protocol.step.StateDigest;
import castalia.protocol.step.Vote;
import castalia.workers.exchange.AllExchange;
import castalia.workers.exchange.FrameTag;
import castalia.workers.exchange.Transport;
import castalia.workers.exchange.VoteExchange;
import castalia.workers.exchange.socket.SocketDataPlane;
import castalia.workers.exchange.socket.SocketSettings;
import com.sun.management.OperatingSystemMXBean;
import java.io.BufferedReader;
import java.io.IOException;
import java.io.PrintWriter;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.lang.management.CompilationMXBean;
import java.lang.management.ManagementFactory;
import java.nio.file.Path;
import java.security.SecureRandom;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Optional;

/** One process of the measurement. All execute the same measurements in the same order. */
public final class CollectiveRank {

    /** Begins each line that is meant for the process that started this one. */
    public static final String MARK = "bench: ";

    private static final Duration PATIENCE = Duration.ofMinutes(1);
    private static final long SAMPLE_NANOS = 60_000_000;
    private static final int MOST_TIMES = 200;
    private static final double QUIET_SECONDS = 1;
    private static final double MOST_WARM_SECONDS = 20;
    private static final int WARM_TIMES = 10;
    private static final int FIRST_VOTES = 1000;
    private static final int VOTES = 2000;
    private static final long VOTED_MICROS = 1000;

    private final Settings settings;
    private final CastaliaHome home;
    private final PrintWriter out;
    private final OperatingSystemMXBean system =
            (OperatingSystemMXBean) ManagementFactory.getOperatingSystemMXBean();
    private final CompilationMXBean compiler = ManagementFactory.getCompilationMXBean();
    private long number;

    /**
     * What is measured.
     *
     * @param rank this process
     * @param ranks all processes
     * @param ways kinds of sockets
     * @param buckets sizes of buckets in bytes
     * @param pairs samples of the plane and of the plain loop, in turns
     */
    public record Settings(
            int rank, int ranks, List<Way> ways, List<Long> buckets, int pairs) {

        public Settings {
            ways = List.copyOf(ways);
            buckets = List.copyOf(buckets);
        }
    }

    /** Prints to {@code out} what others are to know. */
    public CollectiveRank(Settings settings, CastaliaHome home, PrintWriter out) {
        this.settings = settings;
        this.home = home;
        this.out = out;
    }

    /** Measures; {@code in} gives one line per rank with its address. */
    public void run(BufferedReader in) throws IOException {
        Path folder = home.temporary();
        Incarnation self = new Incarnation(new SecureRandom().nextLong());
        SocketSettings plane = SocketSettings.of("0".repeat(64), self, "node", _ -> {})
                .withSocketFolder(folder.toString());
        try (SocketDataPlane opened = SocketDataPlane.open(plane);
                RawSockets raw = new RawSockets(settings.rank(), folder);
                Device device = Wiring.devices(
                        new Hosting(1, 1, Recomputation.NONE), settings.ranks(), home).apply(0);
                Arena arena = Arena.ofShared()) {
            say(new Address(self.id(), ProcessHandle.current().pid(), opened.endpoint().port(),
                    opened.endpoint().socket().orElseThrow(), raw.port(), raw.path()).line());
            List<Address> all = new ArrayList<>();
            for (int r = 0; r < settings.ranks(); r++) {
                all.add(Address.parse(Optional.ofNullable(in.readLine()).orElse("")));
            }
            OrphanWatch.start(System.in);
            for (int w = 0; w < settings.ways().size(); w++) {
                Way way = settings.ways().get(w);
                Fence fence = new Fence(1, w + 1);
                List<Member> members = new ArrayList<>();
                for (int r = 0; r < all.size(); r++) {
                    members.add(all.get(r).member(r, way));
                }
                opened.raise(fence);
                try (RawSockets.Links links = raw.connect(way, all);
                        Transport transport = opened.join(fence, members, settings.rank(),
                                () -> PATIENCE, (about, _, what) -> {
                                    throw new IllegalStateException(about.label() + ": " + what);
                                })) {
                    Group group = new Group(transport, fence.generation(), arena);
                    measure(way, group, links, device);
                }
            }
        }
    }

    private void say(String line) {
        out.println(MARK + line);
        out.flush();
    }

    private void report(Object row) {
        if (settings.rank() == 0) {
            say(JsonOption.line(row));
        }
    }

    /** The ranks on one transport. */
    private final class Group {
        private final Transport transport;
        private final long generation;
        private final Arena arena;

        Group(Transport transport, long generation, Arena arena) {
            this.transport = transport;
            this.generation = generation;
            this.arena = arena;
        }

        /** Waits for all and gives what each says; two numbers each. */
        List<MemorySegment> meet(long first, long second) {
            MemorySegment own = arena.allocate(ValueLayout.JAVA_LONG, 2);
            own.setAtIndex(ValueLayout.JAVA_LONG, 0, first);
            own.setAtIndex(ValueLayout.JAVA_LONG, 1, second);
            return AllExchange.of(transport,
                    new FrameTag(FrameTag.Kind.STORED, generation, ++number, 0, 0, 0), own,
                    _ -> own.byteSize(), arena);
        }
    }

    /**
     * Time and processor time of some executions.
     *
     * @param seconds of the slowest rank
     * @param cpu seconds of all ranks together, user and system
     */
    private record Sample(double seconds, double cpu) {}

    private Sample sample(Group group, Runnable collective, int times) {
        group.meet(0, 0);
        long cpu = system.getProcessCpuTime();
        long start = System.nanoTime();
        for (int i = 0; i < times; i++) {
            collective.run();
        }
        long taken = System.nanoTime() - start;
        List<MemorySegment> all = group.meet(taken, system.getProcessCpuTime() - cpu);
        long slowest = 0;
        long processors = 0;
        for (MemorySegment one : all) {
            slowest = Math.max(slowest, one.getAtIndex(ValueLayout.JAVA_LONG, 0));
            processors += one.getAtIndex(ValueLayout.JAVA_LONG, 1);
        }
        return new Sample(slowest * 1e-9 / times, processors * 1e-9 / times);
    }

    /** Goes on until no JVM has compiled anything for a while: all ranks see the same numbers. */
    private void warmUp(Group group, Runnable... collectives) {
        double seconds = 0;
        double quiet = 0;
        long compiled = 0;
        while (quiet < QUIET_SECONDS && seconds < MOST_WARM_SECONDS) {
            double taken = 0;
            for (Runnable collective : collectives) {
                taken += sample(group, collective, WARM_TIMES).seconds * WARM_TIMES;
            }
            long now = 0;
            for (MemorySegment one : group.meet(compiler.getTotalCompilationTime(), 0)) {
                now += one.getAtIndex(ValueLayout.JAVA_LONG, 0);
            }
            quiet = now == compiled ? quiet + taken : 0;
            compiled = now;
            seconds += taken;
        }
    }

    private void measure(Way way, Group group, RawSockets.Links links, Device device) {
        for (long about : settings.buckets()) {
            Bucket bucket = Bucket.of(about, settings.ranks());
            try (Collective plane = new PlaneCollective(bucket, group.transport, group.generation,
                            device, () -> ++number);
                    Collective raw =
                            new RawCollective(bucket, settings.rank(), links, device)) {
                check(plane);
                check(raw);
                warmUp(group, plane::reduceScatter, raw::reduceScatter, plane::allGather,
                        raw::allGather);
                report(row(way, "reduce-scatter", bucket, group, plane::reduceScatter,
                        raw::reduceScatter));
                report(row(way, "all-gather", bucket, group, plane::allGather, raw::allGather));
            }
        }
        report(votes(way, group));
    }

    /** Both must compute what they are timed for. */
    private void check(Collective collective) {
        collective.reduceScatter();
        collective.allGather();
        for (int r = 0; r < settings.ranks(); r++) {
            if (collective.sum() != settings.ranks() || collective.weight(r) != r + 1) {
                throw new IllegalStateException(collective.getClass().getSimpleName() + ": sum "
                        + collective.sum() + ", weight " + collective.weight(r) + " of rank " + r);
            }
        }
    }

    private CollectiveBench.Row row(Way way, String name, Bucket bucket, Group group, Runnable plane,
            Runnable raw) {
        int times = 1;
        for (int i = 0; i < 3; i++) {
            double once = Math.max(sample(group, plane, times).seconds,
                    sample(group, raw, times).seconds);
            times = Math.clamp(Math.round(SAMPLE_NANOS * 1e-9 / once), 1, MOST_TIMES);
        }
        Sample[] ours = new Sample[settings.pairs()];
        Sample[] plain = new Sample[settings.pairs()];
        for (int i = 0; i < settings.pairs(); i++) {
            ours[i] = sample(group, plane, times);
            plain[i] = sample(group, raw, times);
        }
        double moved = (double) bucket.bytes() * (settings.ranks() - 1) / settings.ranks();
        double[] ratios = new double[ours.length];
        Arrays.setAll(ratios, i -> plain[i].seconds / ours[i].seconds);
        double seconds = median(Arrays.stream(ours).mapToDouble(Sample::seconds).toArray());
        double rawSeconds = median(Arrays.stream(plain).mapToDouble(Sample::seconds).toArray());
        double cpu = Arrays.stream(ours).mapToDouble(Sample::cpu).sum();
        double rawCpu = Arrays.stream(plain).mapToDouble(Sample::cpu).sum();
        double all = moved * settings.ranks() * ours.length * 1e-9;
        return new CollectiveBench.Row(way.word(), settings.ranks(), name, bucket.bytes(),
                round(moved / seconds * 1e-9), round(moved / rawSeconds * 1e-9),
                round(median(ratios)), round(cpu / all), round(rawCpu / all));
    }

    /** Votes of pythia-70m: a few kilobytes. */
    private CollectiveBench.Votes votes(Way way, Group group) {
        var model = PythiaModels.named("pythia-70m").orElseThrow().shape();
        ChunkGrid grid = ChunkGrid.of(FlatLayout.of(model, 1));
        Placement placement = Placement.of(grid, settings.ranks(), settings.ranks());
        int rank = settings.rank();
        List<Vote.HeldChunk> chunks = new ArrayList<>();
        for (int chunk : placement.held(rank)) {
            chunks.add(new Vote.HeldChunk(chunk, StateDigest.ZERO, 1));
        }
        List<Vote.LossSum> losses = List.of(new Vote.LossSum(rank, 1));
        double[] micros = new double[VOTES];
        try (VoteExchange exchange = new VoteExchange(group.transport, placement, grid.size())) {
            for (int i = -FIRST_VOTES; i < VOTES; i++) {
                group.meet(0, 0);
                Vote own = new Vote(rank, ++number, chunks, losses);
                long start = System.nanoTime();
                exchange.exchange(group.generation, own);
                if (i >= 0) {
                    micros[i] = (System.nanoTime() - start) / (double) VOTED_MICROS;
                }
                group.transport.drain();
            }
        }
        Arrays.sort(micros);
        return new CollectiveBench.Votes(way.word(), settings.ranks(), VOTES,
                round(median(micros)), round(micros[VOTES * 99 / 100]));
    }

    private static double median(double[] values) {
        double[] sorted = values.clone();
        Arrays.sort(sorted);
        return (sorted[(sorted.length - 1) / 2] + sorted[sorted.length / 2]) / 2;
    }

    private static double round(double value) {
        return Math.round(value * 1000) / 1000.0;
    }
}
