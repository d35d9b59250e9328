package castalia.workers.exchange;

import castalia.kernels.Buffer;
import castalia.kernels.DeviceGroup;
import castalia.protocol.layout.ChunkGrid;
import castalia.protocol.layout.Placement;
import castalia.workers.exchange.FrameTag.Kind;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.Arrays;
import java.util.Optional;
import java.util.concurrent.TimeUnit;
import java.util.function.BooleanSupplier;
import java.util.function.IntFunction;
import java.util.stream.IntStream;
import org.jspecify.annotations.Nullable;

/**
 * Brings every rank the weights of a step that it computes with, in the compute type, rounded by
 * their owner. Holders have them already: all of them computed the same bits.
 */
public final class WeightGather {

    private static final long EXCHANGE_NANOS = TimeUnit.SECONDS.toNanos(20);

    private final Placement placement;
    private final Transport transport;
    private final int[][] receivers;
    private final int[][] received;
    private final boolean receives;
    private final BooleanSupplier abandoned;
    private @Nullable DeviceGroup group;

    /** By the transport alone. */
    public WeightGather(ChunkGrid grid, Placement placement, Transport transport) {
        this(grid, placement, transport, Optional.empty(), () -> false);
    }

    /**
     * By a group of devices, as long as that works on all ranks, else by the transport.
     *
     * @param group the caller's to close
     * @param abandoned whether the generation is known to be over
     */
    public WeightGather(ChunkGrid grid, Placement placement, Transport transport,
            Optional<DeviceGroup> group, BooleanSupplier abandoned) {
        this.placement = placement;
        this.transport = transport;
        this.group = group.orElse(null);
        this.abandoned = abandoned;
        int rank = transport.rank();
        this.receivers = new int[grid.size()][];
        for (int c = 0; c < grid.size(); c++) {
            int chunk = c;
            receivers[c] = placement.owner(c) != rank ? new int[0]
                    : IntStream.range(0, placement.ranks())
                            .filter(to -> lacks(to, chunk)).toArray();
        }
        int[] lacking = IntStream.range(0, grid.size()).filter(c -> lacks(rank, c)).toArray();
        int[][] ofOthers = grid.byLayer(
                Arrays.stream(lacking).filter(c -> !isNear(rank, c)).toArray());
        this.receives = lacking.length > 0;
        this.received = new int[1 + ofOthers.length][];
        received[0] = Arrays.stream(lacking).filter(c -> isNear(rank, c)).toArray();
        System.arraycopy(ofOthers, 0, received, 1, ofOthers.length);
    }

    /** Whether a chunk's owner computes the same passes. */
    private boolean isNear(int rank, int chunk) {
        int owner = placement.owner(chunk);
        return placement.computes(rank) && placement.computes(owner)
                && placement.replica(owner) == placement.replica(rank);
    }

    private boolean lacks(int rank, int chunk) {
        return placement.uses(rank, chunk) && !placement.holds(rank, chunk);
    }

    /**
     * Says where the weights of a step are going to be received: from the vote on, when nobody computes
     * with the older ones any more.
     */
    public void expect(long generation, long step, IntFunction<Buffer> compute) {
        if (group == null) {
            expectAll(generation, step, compute);
        }
    }

    private void expectAll(long generation, long step, IntFunction<Buffer> compute) {
        for (int[] some : received) {
            for (int chunk : some) {
                transport.expect(placement.owner(chunk), tag(generation, step, chunk),
                        compute.apply(chunk).segment());
            }
        }
    }

    /**
     * Groups in which a rank receives what it lacks: first what ranks of its own replica send, since an
     * exchange in a pass waits until they took all that was sent before; then layer by layer.
     */
    public int groups() {
        return received.length;
    }

    /** The one of these groups with which all that a layer needs is there. */
    public int group(int layer) {
        return 1 + layer;
    }

    /**
     * Sends what this rank owns to those who lack it and receives what it lacks, after {@link #expect}.
     *
     * @param step version of the weights
     * @param compute gives the weights of a chunk, in the compute type
     */
    public void gather(long generation, long step, IntFunction<Buffer> compute) {
        boolean more = begin(generation, step, compute);
        for (int some = 0; more && some < received.length; some++) {
            receive(generation, step, some, compute);
        }
    }

    /**
     * The first half of {@link #gather}: starts sending; a group of devices does all of it.
     *
     * @return whether there is anything to receive
     */
    public boolean begin(long generation, long step, IntFunction<Buffer> compute) {
        DeviceGroup together = group;
        if (together != null) {
            if (exchanged(together, generation, step, compute)) {
                return false;
            }
            group = null;
            together.close();
            expectAll(generation, step, compute);
        }
        for (int chunk = 0; chunk < receivers.length; chunk++) {
            for (int to : receivers[chunk]) {
                transport.send(to, tag(generation, step, chunk), compute.apply(chunk).segment());
            }
        }
        return receives;
    }

    /** Whether every rank has everything. */
    private boolean exchanged(DeviceGroup together, long generation, long step,
            IntFunction<Buffer> compute) {
        for (int chunk = 0; chunk < receivers.length; chunk++) {
            for (int to : receivers[chunk]) {
                together.send(to, compute.apply(chunk).segment());
            }
        }
        // in the order in which their owners send them
        Arrays.stream(received).flatMapToInt(Arrays::stream).sorted().forEach(chunk ->
                together.receive(placement.owner(chunk), compute.apply(chunk).segment()));
        long end = System.nanoTime() + EXCHANGE_NANOS;
        boolean done = together.exchange(
                () -> !abandoned.getAsBoolean() && System.nanoTime() - end < 0);
        try (Arena host = Arena.ofShared()) { // who is silent is found out here, as in any exchange
            MemorySegment own = host.allocate(1);
            own.set(ValueLayout.JAVA_BYTE, 0, (byte) (done ? 1 : 0));
            return AllExchange.of(transport, new FrameTag(Kind.REACH, generation, step, 0, 0, 5), own,
                            _ -> 1, host).stream()
                    .allMatch(one -> one.get(ValueLayout.JAVA_BYTE, 0) == 1);
        }
    }

    /**
     * A part of the second half: receives what is lacking of one of the {@link #groups}, which go in order.
     * They were all expected, so each chunk has its place as soon as it comes; the last is waited for
     * first, and then the others are there.
     */
    public void receive(long generation, long step, int some, IntFunction<Buffer> compute) {
        for (int i = received[some].length - 1; i >= 0; i--) {
            int chunk = received[some][i];
            transport.receive(placement.owner(chunk), tag(generation, step, chunk),
                    compute.apply(chunk).segment());
        }
    }

    private static FrameTag tag(long generation, long step, int chunk) {
        return new FrameTag(Kind.WEIGHTS, generation, step, 0, chunk, 0);
    }
}
