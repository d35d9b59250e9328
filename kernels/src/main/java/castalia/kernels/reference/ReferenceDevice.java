package castalia.kernels.reference;

import castalia.kernels.Arena;
import castalia.kernels.Buffer;
import castalia.kernels.DType;
import castalia.kernels.Device;
import castalia.kernels.Kernels;
import castalia.kernels.KnownAnswers;
import castalia.kernels.NumericVersion;
import castalia.kernels.OutOfDeviceMemoryException;
import java.lang.foreign.MemorySegment;

/**
 * The plain reference on host memory: slow, single-threaded, and the only device that also computes
 * in F64.
 */
public final class ReferenceDevice implements Device {

    private static final long ALIGNMENT = 64;

    private final ReferenceKernels kernels = new ReferenceKernels();

    @Override
    public Kernels kernels() {
        return kernels;
    }

    @Override
    public Arena arena() {
        return new HostArena();
    }

    @Override
    public void upload(Buffer to, MemorySegment from) {
        if (from.byteSize() > to.segment().byteSize()) {
            throw new IllegalArgumentException("upload of " + from.byteSize()
                    + " bytes into a buffer of " + to.segment().byteSize());
        }
        MemorySegment.copy(from, 0, to.segment(), 0, from.byteSize());
    }

    @Override
    public void download(MemorySegment to, Buffer from) {
        if (to.byteSize() != from.segment().byteSize()) {
            throw new IllegalArgumentException("download of a buffer of "
                    + from.segment().byteSize() + " bytes into " + to.byteSize());
        }
        to.copyFrom(from.segment());
    }

    @Override
    public String description() {
        return "reference (1 thread, plain loops)";
    }

    @Override
    public NumericVersion numericVersion() {
        return new NumericVersion("reference", "plain loops", "any", Runtime.version().feature(),
                NumericVersion.KERNEL_REVISION, KnownAnswers.ofKernels(this));
    }

    /** Nothing to free: memory belongs to the arenas. */
    @Override
    public void close() {}

    /** Host memory of one lifetime; usable from any thread. */
    private static final class HostArena implements Arena {

        private final java.lang.foreign.Arena memory = java.lang.foreign.Arena.ofShared();
        private long allocated;

        @Override
        public Buffer allocate(DType type, long elements) {
            if (elements < 0 || elements > Long.MAX_VALUE / type.bytes() - ALIGNMENT) {
                throw new IllegalArgumentException("allocation of " + elements + " " + type);
            }
            long bytes = elements * type.bytes();
            try {
                Buffer buffer = new Buffer(type, elements, memory.allocate(bytes, ALIGNMENT));
                allocated += bytes;
                return buffer;
            } catch (OutOfMemoryError _) {
                throw new OutOfDeviceMemoryException(
                        bytes, "the host has no room for " + bytes + " bytes");
            }
        }

        @Override
        public long allocatedBytes() {
            return allocated;
        }

        @Override
        public void close() {
            memory.close();
        }
    }
}
