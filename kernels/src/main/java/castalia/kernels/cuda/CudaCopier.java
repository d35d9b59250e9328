package castalia.kernels.cuda;

import castalia.kernels.Buffer;
import castalia.kernels.Copier;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.util.ArrayDeque;
import java.util.Deque;
import jcuda.driver.CUevent;

/**
 * Copies to pinned memory on a stream of its own, which begins behind the work that the device's
 * stream has when the copier is made, and is not waited for by it.
 */
final class CudaCopier implements Copier {

    private static final long PAGE = 4096;

    private final CudaDevice device;
    private final NativePointer.Stream stream;
    private final Arena arena = Arena.ofShared();
    private final MemorySegment pinned;
    private final long slotBytes;
    private final CUevent[] copied;
    private final long[] bytes;

    /** What is to be given back, the last first. */
    private final Deque<Runnable> opened = new ArrayDeque<>();

    private boolean closed;

    CudaCopier(CudaDevice device, NativePointer.Stream work, int slots, long slotBytes) {
        this.device = device;
        this.slotBytes = (slotBytes + PAGE - 1) / PAGE * PAGE;
        this.bytes = new long[slots];
        this.copied = new CUevent[slots];
        opened.push(arena::close);
        try {
            device.enter();
            pinned = arena.allocate(slots * this.slotBytes, PAGE);
            Driver.register(pinned.address(), pinned.byteSize());
            opened.push(() -> Driver.unregister(pinned.address()));
            stream = Driver.stream();
            opened.push(() -> Driver.destroy(stream));
            CUevent before = Driver.event();
            Driver.record(before, work);
            Driver.waitFor(before, stream);
            Driver.destroy(before); // once it has happened
            for (int i = 0; i < slots; i++) {
                CUevent event = Driver.event();
                opened.push(() -> Driver.destroy(event));
                copied[i] = event;
            }
            opened.push(() -> Driver.synchronize(stream));
        } catch (RuntimeException | Error e) {
            close();
            throw e;
        }
    }

    @Override
    public void start(int slot, Buffer from) {
        device.enter();
        long size = from.segment().byteSize();
        if (size > slotBytes) {
            throw new IllegalArgumentException(
                    "a copy of " + size + " bytes to a slot of " + slotBytes);
        }
        device.driver().toHost(pinned.address() + slot * slotBytes, from.segment().address(), size,
                stream.address());
        Driver.record(copied[slot], stream);
        bytes[slot] = size;
    }

    @Override
    public MemorySegment await(int slot) {
        device.enter();
        Driver.await(copied[slot]);
        return pinned.asSlice(slot * slotBytes, bytes[slot]);
    }

    /** Quietly where the GPU failed. */
    @Override
    public void close() {
        if (closed) {
            return;
        }
        closed = true;
        while (!opened.isEmpty()) {
            CudaException.unlessLost(() -> {
                device.enter();
                opened.pop().run();
            });
        }
    }
}
