package castalia.protocol.wire;

import castalia.protocol.control.CoordinatorMessage;
import castalia.protocol.control.WorkerMessage;
import castalia.protocol.wire.generated.ControlProtos.CoordinatorControl;
import castalia.protocol.wire.generated.ControlProtos.WorkerControl;
import com.google.protobuf.MessageLite;
import java.util.Map;

/**
 * Control messages to bytes and back, by the rules of {@link Codecs}. A message fits one frame of
 * the cluster's transport; longer free text is cut when it is written.
 */
public final class ControlCodec {

    /** Most bytes of a control message: a frame of 256 KiB less its envelope. */
    public static final int MOST_BYTES = 248 << 10;

    /** Most entries of one {@link WorkerMessage.Stored}. */
    public static final int STORED_ENTRIES = 1536;

    /** Most members of a generation. */
    public static final int MOST_MEMBERS = 4096;

    /** Most characters of free text: reasons and messages for people. */
    public static final int LONGEST_TEXT = 4000;

    private static final int FORMAT = 1;

    private static final Bounds WORKER = new Bounds(
            "worker message",
            WorkerControl.getDescriptor(),
            FORMAT,
            MOST_BYTES,
            Map.of("entries", new Bounds.Repeated(STORED_ENTRIES, 54, 128)));

    private static final int MOST_MOVES = 1 << 15;

    private static final Bounds COORDINATOR = new Bounds(
            "coordinator message",
            CoordinatorControl.getDescriptor(),
            FORMAT,
            MOST_BYTES,
            Map.of("members", new Bounds.Repeated(MOST_MEMBERS, 12, 3200),
                    "moves", new Bounds.Repeated(MOST_MOVES, 2, 32)));

    private ControlCodec() {}

    /**
     * The canonical bytes of what a worker says.
     *
     * @throws IllegalArgumentException if they are more than {@link #MOST_BYTES}
     */
    public static byte[] encode(WorkerMessage message) {
        return bounded(WORKER.what(), message(message));
    }

    /** Reads what {@link #encode(WorkerMessage)} wrote. */
    public static WorkerMessage decodeWorker(byte[] bytes) throws MalformedMessageException {
        return Codecs.decode(WORKER, bytes, WorkerControl.parser(), WorkerMessages::record,
                ControlCodec::message);
    }

    /**
     * The canonical bytes of what a coordinator says.
     *
     * @throws IllegalArgumentException if they are more than {@link #MOST_BYTES}
     */
    public static byte[] encode(CoordinatorMessage message) {
        return bounded(COORDINATOR.what(), message(message));
    }

    /** Reads what {@link #encode(CoordinatorMessage)} wrote. */
    public static CoordinatorMessage decodeCoordinator(byte[] bytes)
            throws MalformedMessageException {
        return Codecs.decode(COORDINATOR, bytes, CoordinatorControl.parser(),
                CoordinatorMessages::record, ControlCodec::message);
    }

    private static WorkerControl message(WorkerMessage message) {
        return WorkerMessages.message(message).setFormat(FORMAT).build();
    }

    private static CoordinatorControl message(CoordinatorMessage message) {
        return CoordinatorMessages.message(message).setFormat(FORMAT).build();
    }

    private static byte[] bounded(String what, MessageLite message) {
        int size = message.getSerializedSize();
        if (size > MOST_BYTES) {
            throw new IllegalArgumentException(
                    "a " + what + " of " + size + " bytes exceeds " + MOST_BYTES);
        }
        return message.toByteArray();
    }
}
