package castalia.workers.runtime;

import castalia.kernels.Device;
import castalia.protocol.control.WorkerMessage;
import castalia.protocol.identity.Fence;
import castalia.protocol.identity.Member;
import castalia.protocol.specification.Initialisation;
import castalia.workers.data.BatchShape;
import castalia.workers.data.BatchSource;
import castalia.workers.exchange.DataPlane;
import castalia.workers.rank.RankSettings;
import castalia.workers.rank.StateTransfer;
import castalia.workers.rank.TinyRun;
import java.lang.foreign.MemorySegment;
import java.time.Duration;
import java.util.List;
import java.util.Optional;
import java.util.concurrent.locks.LockSupport;
import java.util.function.Consumer;
import java.util.function.IntUnaryOperator;
import java.util.function.LongConsumer;
import java.util.function.LongPredicate;
import java.util.function.Supplier;

/**
 * What the workers of a test's run have in common.
 *
 * @param fillMillis how long a micro-batch of a virtual rank takes to read, so that messages come in
 *     time
 */
record Kit(
        RankSettings settings,
        MemoryCheckpoints storage,
        IntUnaryOperator fillMillis,
        long steps,
        LongPredicate due,
        Optional<WorkerParts.Validation> validation,
        Supplier<Device> device,
        Duration leastPatience) {

    static final String RUN = "ab".repeat(32);
    private static final Duration DATA = Duration.ofSeconds(30);

    /** On the device that tests compute on. */
    Kit(RankSettings settings, MemoryCheckpoints storage, IntUnaryOperator fillMillis, long steps,
            LongPredicate due, Optional<WorkerParts.Validation> validation) {
        this(settings, storage, fillMillis, steps, due, validation,
                () -> TinyRun.devices(1).apply(0), WorkerParts.PATIENCE);
    }

    /** A worker's parts. */
    WorkerParts parts(Member member, DataPlane plane, Consumer<WorkerMessage> outbox,
            Consumer<String> onDismissed) {
        return parts(member, plane, outbox, onDismissed, _ -> { });
    }

    /** As the other; {@code gate} returns once the worker may read a step. */
    WorkerParts parts(Member member, DataPlane plane, Consumer<WorkerMessage> outbox,
            Consumer<String> onDismissed, LongConsumer gate) {
        return new WorkerParts(settings, device, plane,
                new WorkerMessage.Registered(member, RUN, "nv", "build", "cpu", Fence.NONE),
                new SlowSource(TinyRun.sources(settings.plan(), 1).getFirst(), fillMillis, gate),
                DATA, leastPatience, validation, due, steps,
                StateTransfer.drawn(settings, Initialisation.Drawn.published()),
                storage, outbox, onDismissed);
    }

    /** A source that takes its time. */
    private record SlowSource(BatchSource source, IntUnaryOperator millis, LongConsumer gate)
            implements BatchSource {

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
            gate.accept(step);
            LockSupport.parkNanos(millis.applyAsInt(virtualRank) * 1_000_000L);
            source.fill(step, virtualRank, microBatch, inputs, labels);
        }

        @Override
        public List<String> description() {
            return source.description();
        }
    }
}
