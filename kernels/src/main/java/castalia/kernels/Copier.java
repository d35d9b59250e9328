package castalia.kernels;

import java.lang.foreign.MemorySegment;

/**
 * Reads a device's memory beside its work, through a few slots of host memory. Made by the thread that
 * computes, used by any one thread until it is closed. What is read must not change meanwhile; it is
 * what the work that was started before the copier was made has left.
 */
public interface Copier extends AutoCloseable {

    /** Starts to copy a buffer to a slot, whose content before may be gone from now on. */
    void start(int slot, Buffer from);

    /** Waits for the slot's copy; the content is valid until the slot's next start. */
    MemorySegment await(int slot);

    /** Waits for what was started. */
    @Override
    void close();
}
