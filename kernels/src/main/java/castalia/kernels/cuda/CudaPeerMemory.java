package castalia.kernels.cuda;

import static java.lang.foreign.ValueLayout.JAVA_BYTE;
import static java.lang.foreign.ValueLayout.JAVA_LONG_UNALIGNED;

import castalia.kernels.PeerMemory;
import castalia.kernels.natives.ProcessSpace;
import java.lang.foreign.MemorySegment;
import java.util.HashMap;
import java.util.Map;
import org.jspecify.annotations.Nullable;

/**
 * CUDA's memory between processes. What is given away is a slab of {@link DeviceMemory} and a range
 * in it: a place is the slab's handle, its address here (which tells it from others), and offset and
 * length of the range.
 */
final class CudaPeerMemory implements PeerMemory {

    private static final long SLAB_AT = InterProcess.HANDLE_BYTES;
    private static final long OFFSET_AT = SLAB_AT + Long.BYTES;
    private static final long LENGTH_AT = OFFSET_AT + Long.BYTES;
    private static final long SLAB_BYTES_AT = LENGTH_AT + Long.BYTES;

    private final CudaDevice device;
    private final DeviceMemory memory;
    private final Map<Long, byte[]> handles = new HashMap<>();

    CudaPeerMemory(CudaDevice device, DeviceMemory memory) {
        this.device = device;
        this.memory = memory;
    }

    @Override
    public String machine() {
        return ProcessSpace.name();
    }

    @Override
    public void place(MemorySegment to, MemorySegment of) {
        device.finish();
        DeviceMemory.Slab slab = memory.lend(of.address());
        byte[] handle = handles.computeIfAbsent(
                slab.address(), _ -> InterProcess.handle(slab.memory()));
        MemorySegment.copy(handle, 0, to, JAVA_BYTE, 0, handle.length);
        to.set(JAVA_LONG_UNALIGNED, SLAB_AT, slab.address());
        to.set(JAVA_LONG_UNALIGNED, OFFSET_AT, of.address() - slab.address());
        to.set(JAVA_LONG_UNALIGNED, LENGTH_AT, of.byteSize());
        to.set(JAVA_LONG_UNALIGNED, SLAB_BYTES_AT, slab.bytes());
    }

    @Override
    public void forget() {
        memory.takeBack();
        handles.clear();
    }

    @Override
    public Peer peer() {
        return new Opened();
    }

    @Override
    public void copy(MemorySegment to, MemorySegment from) {
        device.copy(to.address(), from.address(), to.byteSize());
    }

    /** One process's slabs, by their addresses there. */
    private final class Opened implements Peer {

        private final Map<Long, NativePointer.Memory> slabs = new HashMap<>();

        @Override
        public @Nullable MemorySegment open(MemorySegment place) {
            long slab = place.get(JAVA_LONG_UNALIGNED, SLAB_AT);
            long offset = place.get(JAVA_LONG_UNALIGNED, OFFSET_AT);
            long length = place.get(JAVA_LONG_UNALIGNED, LENGTH_AT);
            long bytes = place.get(JAVA_LONG_UNALIGNED, SLAB_BYTES_AT);
            if (offset < 0 || length < 0 || bytes < 0 || offset > bytes - length) {
                return null; // no place
            }
            NativePointer.Memory known = slabs.get(slab);
            if (known == null) {
                known = new NativePointer.Memory();
                byte[] handle = place.asSlice(0, InterProcess.HANDLE_BYTES).toArray(JAVA_BYTE);
                device.enter();
                if (!InterProcess.open(known, handle)) {
                    return null;
                }
                slabs.put(slab, known);
            }
            return MemorySegment.ofAddress(known.address() + offset).reinterpret(length);
        }

        @Override
        public void close() {
            if (!slabs.isEmpty()) {
                device.finish();
                slabs.values().forEach(InterProcess::close);
                slabs.clear();
            }
        }
    }
}
