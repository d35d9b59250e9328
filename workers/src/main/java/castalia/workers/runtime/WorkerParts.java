package castalia.workers.runtime;

import castalia.kernels.Device;
import castalia.protocol.control.WorkerMessage;
import castalia.workers.data.BatchSource;
import castalia.workers.exchange.DataPlane;
import castalia.workers.rank.RankSettings;
import castalia.workers.rank.StateTransfer;
import java.time.Duration;
import java.util.Optional;
import java.util.function.Consumer;
import java.util.function.LongPredicate;
import java.util.function.Supplier;

/**
 * What a worker is made of.
 *
 * @param settings what it executes
 * @param device makes its device, on its rank's thread; closed by the worker
 * @param plane its data plane; closed by the worker
 * @param registration what it says of itself; the fence in it is replaced
 * @param train what it trains on; belongs to the caller
 * @param dataDeadline longest wait for a batch
 * @param leastPatience how long a silent peer is waited for at least, however short steps are
 * @param validation what it validates on
 * @param due whether the state after so many steps is to be stored
 * @param totalSteps steps of the run
 * @param initial the weights before the first step
 * @param checkpoints where states are stored and read
 * @param outbox takes what the worker says, from its rank's thread and the data plane's
 * @param onDismissed called once, from the rank's thread, when the run does without this worker
 */
public record WorkerParts(
        RankSettings settings,
        Supplier<Device> device,
        DataPlane plane,
        WorkerMessage.Registered registration,
        BatchSource train,
        Duration dataDeadline,
        Duration leastPatience,
        Optional<Validation> validation,
        LongPredicate due,
        long totalSteps,
        StateTransfer.InitialState initial,
        CheckpointPort checkpoints,
        Consumer<WorkerMessage> outbox,
        Consumer<String> onDismissed) {

    /** {@link #leastPatience} of training: a peer that hangs costs little more. */
    public static final Duration PATIENCE = Duration.ofMillis(1500);

    /**
     * Validation while training.
     *
     * @param source batches to validate on, from the first
     * @param interval steps between two validations
     * @param batches how many batches
     */
    public record Validation(BatchSource source, long interval, int batches) {
        public Validation {
            if (interval < 1 || batches < 1) {
                throw new IllegalArgumentException(
                        "validation of " + batches + " batches every " + interval + " steps");
            }
        }
    }

    public WorkerParts {
        if (totalSteps < 1) {
            throw new IllegalArgumentException("a run of " + totalSteps + " steps");
        }
    }
}
