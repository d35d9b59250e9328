package castalia.actors.node;

import castalia.protocol.identity.Incarnation;
import java.util.concurrent.CompletionStage;

/** Starts worker processes of this machine. */
@FunctionalInterface
public interface WorkerProcesses {

    /**
     * Starts one; may block, but not for its whole start-up.
     *
     * @param name what people call it
     * @param incarnation the life it is to live, which it registers with
     * @throws castalia.protocol.CastaliaException if it cannot be started
     */
    Handle start(String name, Incarnation incarnation);

    /** A process that was started. None of its methods blocks. */
    interface Handle {

        long pid();

        /** Its exit code, once it ended; 128 and the signal if a signal ended it. */
        CompletionStage<Integer> exit();

        /** Tells it that its parent needs it no more, which ends it. */
        void destroy();

        /** Ends it at once. */
        void kill();
    }
}
