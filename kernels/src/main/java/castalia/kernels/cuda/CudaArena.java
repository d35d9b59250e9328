package castalia.kernels.cuda;

import castalia.kernels.Arena;
import castalia.kernels.Buffer;
import castalia.kernels.DType;
import java.lang.foreign.MemorySegment;
import java.util.ArrayList;
import java.util.List;

/** Memory of a CUDA device with one lifetime. */
final class CudaArena implements Arena {

    private final CudaDevice device;
    private final java.lang.foreign.Arena lifetime = java.lang.foreign.Arena.ofShared();
    private final List<MemorySegment> allocated = new ArrayList<>();
    private long allocatedBytes;

    CudaArena(CudaDevice device) {
        this.device = device;
    }

    @Override
    public synchronized Buffer allocate(DType type, long elements) {
        if (elements < 0 || elements > Long.MAX_VALUE / 16) {
            throw new IllegalArgumentException("a buffer of " + elements + " elements");
        }
        if (!lifetime.scope().isAlive()) {
            throw new IllegalStateException("the arena is closed");
        }
        long bytes = elements * type.bytes();
        MemorySegment memory = MemorySegment.ofAddress(device.take(bytes))
                .reinterpret(bytes, lifetime, null);
        allocated.add(memory);
        allocatedBytes += bytes;
        return new Buffer(type, elements, memory);
    }

    @Override
    public synchronized long allocatedBytes() {
        return allocatedBytes;
    }

    @Override
    public synchronized void close() {
        if (lifetime.scope().isAlive()) {
            lifetime.close();
            device.giveBack(allocated);
            allocatedBytes = 0;
        }
    }
}
