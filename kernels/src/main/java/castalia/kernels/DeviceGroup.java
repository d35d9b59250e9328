package castalia.kernels;

import java.lang.foreign.MemorySegment;
import java.util.function.BooleanSupplier;

/**
 * Devices of several processes, on any machines, that send each other memory by their maker's library.
 * It copies and computes nothing, so bits do not depend on it. Calls come from the device's thread.
 */
public interface DeviceGroup extends AutoCloseable {

    /** Adds memory to what the next {@link #exchange} sends. */
    void send(int to, MemorySegment memory);

    /** Adds memory to what the next {@link #exchange} receives, in the order in which it is sent. */
    void receive(int from, MemorySegment memory);

    /**
     * Sends and receives what was added, all ranks at once, and waits until this device did its part.
     *
     * @param goOn asked while it waits; false ends it
     * @return false if it was ended or a device failed: nothing is known then of what was to be
     *     received, and the group is of no more use
     */
    boolean exchange(BooleanSupplier goOn);

    /** Ends whatever is under way; the other ranks must be told by other means. */
    @Override
    void close();
}
