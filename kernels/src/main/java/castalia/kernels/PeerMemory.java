package castalia.kernels;

import java.lang.foreign.MemorySegment;
import org.jspecify.annotations.Nullable;

/**
 * A device's memory as devices of other processes on its machine read it, without the host. Calls
 * come from the device's thread. Whoever gives a place away says by other means when its content
 * may change, and until when it may be opened.
 */
public interface PeerMemory {

    /** Bytes of a place. */
    int PLACE_BYTES = 96;

    /** Where places mean the same: on this machine, for processes that see each other. */
    String machine();

    /**
     * Waits until what was started before is done, and writes where memory of this device lies. It
     * stays the process's own until {@link #forget}, also when its arena is closed.
     *
     * @param to {@link #PLACE_BYTES} of host memory
     */
    void place(MemorySegment to, MemorySegment memory);

    /** Nobody has open any more what was placed so far: its memory may go back to the system. */
    void forget();

    /** What one other process gives away. */
    Peer peer();

    /** Starts a copy to this device's memory of as many bytes of a peer's. */
    void copy(MemorySegment to, MemorySegment from);

    /** Memory of one other process, opened here. */
    interface Peer extends AutoCloseable {

        /**
         * Opens memory, or finds it opened.
         *
         * @param place what {@link #place} wrote in the other process
         * @return addresses for operations of this device alone, to read until this is closed; null
         *     if it cannot be reached from here: the other process is gone, on another machine, or
         *     uses a device that this one does not reach
         */
        @Nullable MemorySegment open(MemorySegment place);

        /** Closes it; nothing that reads it may be pending. */
        @Override
        void close();
    }
}
