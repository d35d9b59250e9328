package castalia.kernels;

import java.lang.foreign.MemorySegment;
import java.util.Arrays;

/** Where memory is the host's there is nothing to copy. */
final class HostCopier implements Copier {

    private final MemorySegment[] slots;

    HostCopier(int slots) {
        this.slots = new MemorySegment[slots];
        Arrays.fill(this.slots, MemorySegment.NULL);
    }

    @Override
    public void start(int slot, Buffer from) {
        slots[slot] = from.segment();
    }

    @Override
    public MemorySegment await(int slot) {
        return slots[slot];
    }

    @Override
    public void close() {
        // Nothing was started.
    }
}
