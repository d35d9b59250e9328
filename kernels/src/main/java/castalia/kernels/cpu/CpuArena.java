package castalia.kernels.cpu;

import castalia.kernels.Arena;
import castalia.kernels.Buffer;
import castalia.kernels.DType;
import castalia.kernels.OutOfDeviceMemoryException;
import java.lang.foreign.MemorySegment;
import java.util.concurrent.atomic.AtomicLong;

/** Host memory under a device's limit. Large buffers lie on huge pages. */
final class CpuArena implements Arena {

    private static final long LARGE_BYTES = 1L << 20;

    private final java.lang.foreign.Arena memory = java.lang.foreign.Arena.ofShared();
    private final AtomicLong held;
    private final long limitBytes;
    private long allocatedBytes;

    /**
     * @param held bytes all arenas of the device hold
     */
    CpuArena(AtomicLong held, long limitBytes) {
        this.held = held;
        this.limitBytes = limitBytes;
    }

    @Override
    public synchronized Buffer allocate(DType type, long elements) {
        if (elements < 0 || elements > Long.MAX_VALUE / 16) {
            throw new IllegalArgumentException("a buffer of " + elements + " elements");
        }
        long bytes = elements * type.bytes();
        if (!memory.scope().isAlive()) {
            throw new IllegalStateException("the arena is closed");
        }
        long now = held.addAndGet(bytes);
        if (now > limitBytes) {
            held.addAndGet(-bytes);
            throw new OutOfDeviceMemoryException(bytes, "the CPU device may hold " + limitBytes
                    + " bytes and holds " + (now - bytes) + "; " + bytes + " more do not fit");
        }
        try {
            Buffer buffer = new Buffer(type, elements, segment(bytes));
            allocatedBytes += bytes;
            return buffer;
        } catch (OutOfMemoryError | OutOfDeviceMemoryException e) {
            held.addAndGet(-bytes);
            throw e instanceof OutOfDeviceMemoryException out ? out : refused(bytes);
        }
    }

    private MemorySegment segment(long bytes) {
        if (bytes < LARGE_BYTES) {
            return memory.allocate(Math.max(bytes, 1), 64).asSlice(0, bytes);
        }
        long address = NativeMemory.map(bytes);
        if (address == 0) {
            throw refused(bytes);
        }
        return MemorySegment.ofAddress(address).reinterpret(
                bytes, memory, segment -> NativeMemory.unmap(address, bytes));
    }

    private OutOfDeviceMemoryException refused(long bytes) {
        return new OutOfDeviceMemoryException(bytes, "the system gives no " + bytes
                + " bytes of memory; the device's arenas hold " + (held.get() - bytes));
    }

    @Override
    public synchronized long allocatedBytes() {
        return allocatedBytes;
    }

    @Override
    public synchronized void close() {
        if (memory.scope().isAlive()) {
            memory.close();
            held.addAndGet(-allocatedBytes);
            allocatedBytes = 0;
        }
    }
}
