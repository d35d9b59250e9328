package castalia.workers.exchange;

import castalia.kernels.Buffer;
import castalia.kernels.DeviceGroup;
import castalia.protocol.layout.ChunkGrid;
import castalia.protocol.layout.Placement;
import castalia.workers.exchange.FrameTag.Kind;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
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
    private final int[] received;
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
        this.received =
                IntStream.range(0, grid.size()).filter(c -> lacks(rank, c)).toArray();
    }

    private boolean lacks(int rank, int chunk) {
        return placement.uses(rank, chunk) && !placement.holds(rank, chunk);
    }

    /**
     * Says where the weights of a step are going to be received: from the vote on, when nobody computes
     * with the older ones any more.
     */
    public void expect(long generation, long step, IntFunction<Buffer> compute) {
        for (int chunk : group == null ? received : new int[0]) {
            transport.expect(placement.owner(chunk), tag(generation, step, chunk),
                    compute.apply(chunk).segment());
        }
    }

    /**
     * Sends what this rank owns to those who lack it and receives what it lacks.
     *
     * @param step version of the weights
     * @param compute gives the weights of a chunk, in the compute type
     */
    public void gather(long generation, long step, IntFunction<Buffer> compute) {
        DeviceGroup together = group;
        if (together != null) {
            if (exchanged(together, generation, step, compute)) {
                return;
            }
            group = null;
            together.close();
        }
        for (int chunk = 0; chunk < receivers.length; chunk++) {
            for (int to : receivers[chunk]) {
                transport.send(to, tag(generation, step, chunk), compute.apply(chunk).segment());
            }
        }
        for (int chunk : received) {
            transport.receive(placement.owner(chunk), tag(generation, step, chunk),
                    compute.apply(chunk).segment());
        }
    }

    /** Whether every rank has everything. */
    private boolean exchanged(DeviceGroup together, long generation, long step,
            IntFunction<Buffer> compute) {
        for (int chunk = 0; chunk < receivers.length; chunk++) {
            for (int to : receivers[chunk]) {
                together.send(to, compute.apply(chunk).segment());
            }
        }
        for (int chunk : received) {
            together.receive(placement.owner(chunk), compute.apply(chunk).segment());
        }
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

    private static FrameTag tag(long generation, long step, int chunk) {
        return new FrameTag(Kind.WEIGHTS, generation, step, 0, chunk, 0);
    }
}
