package castalia.workers.runtime;

import castalia.protocol.checkpoint.ChunkEntry;
import castalia.protocol.step.ScalarState;
import castalia.protocol.step.StateDigest;
import java.io.IOException;
import java.lang.foreign.MemorySegment;

/** Where a worker's part of a checkpoint goes, and where checkpoints come from. */
public interface CheckpointPort {

    /** Begins to store chunks of a state; who publishes it is not this worker. */
    Writing begin(ScalarState scalars) throws IOException;

    /**
     * Opens a published checkpoint.
     *
     * @throws IOException if it is missing or damaged
     */
    Reading open(long step) throws IOException;

    /** Chunks on their way to storage; used by one thread at a time. */
    interface Writing {

        /**
         * Stores a chunk; the segments may change when this returns.
         *
         * @param digest what the chunk's content must have
         */
        ChunkEntry add(
                int chunk, StateDigest digest, MemorySegment weights, MemorySegment first,
                MemorySegment second) throws IOException;

        /** Makes everything added durable under its name. */
        void settle() throws IOException;
    }

    /** An open checkpoint; used by one thread. */
    interface Reading {

        /** Its scalar state. */
        ScalarState scalars();

        /** The digest a chunk must have. */
        StateDigest digest(int chunk);

        /** Fills the segments with a chunk, verified. */
        void read(int chunk, MemorySegment weights, MemorySegment first, MemorySegment second)
                throws IOException;
    }

    /**
     * Most stored steps that may wait to be published before members wait at the next one: more than
     * the 154 that a published run of Pythia stores in all.
     */
    default int mostUnpublished() {
        return 256;
    }
}
