package castalia.kernels.cuda;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import jcuda.driver.CUevent;

/**
 * Copies between host memory of any kind and the device, through two pinned halves: while one is on
 * its way the other is filled or emptied.
 */
final class Staging implements AutoCloseable {

    private static final long HALF = 4L << 20;

    private final DriverLibrary driver;
    private final NativePointer.Stream stream;
    private final MemorySegment pinned;
    private final MemorySegment[] halves;
    private final CUevent[] moved;

    Staging(DriverLibrary driver, NativePointer.Stream stream, Arena arena) {
        this.driver = driver;
        this.stream = stream;
        pinned = arena.allocate(2 * HALF, 4096);
        halves = new MemorySegment[] {pinned.asSlice(0, HALF), pinned.asSlice(HALF, HALF)};
        Driver.register(pinned.address(), pinned.byteSize());
        moved = new CUevent[] {Driver.event(), Driver.event()};
        for (CUevent event : moved) {
            Driver.record(event, stream);
        }
    }

    /** When this returns {@code from} may change; the copy is in the stream's order. */
    void upload(long to, MemorySegment from) {
        long bytes = from.byteSize();
        int half = 0;
        for (long at = 0; at < bytes; at += HALF) {
            long part = Math.min(HALF, bytes - at);
            Driver.await(moved[half]);
            MemorySegment.copy(from, at, halves[half], 0, part);
            driver.toDevice(to + at, halves[half].address(), part, stream.address());
            Driver.record(moved[half], stream);
            half ^= 1;
        }
    }

    /** Waits for the stream's work and copies what it left. */
    void download(MemorySegment to, long from) {
        long bytes = to.byteSize();
        long before = 0;
        long beforeBytes = 0;
        int half = 0;
        for (long at = 0; at < bytes; at += HALF) {
            long part = Math.min(HALF, bytes - at);
            Driver.await(moved[half]);
            driver.toHost(halves[half].address(), from + at, part, stream.address());
            Driver.record(moved[half], stream);
            half ^= 1;
            take(half, to, before, beforeBytes);
            before = at;
            beforeBytes = part;
        }
        take(half ^ 1, to, before, beforeBytes);
    }

    private void take(int half, MemorySegment to, long at, long bytes) {
        if (bytes > 0) {
            Driver.await(moved[half]);
            MemorySegment.copy(halves[half], 0, to, at, bytes);
        }
    }

    @Override
    public void close() {
        Driver.unregister(pinned.address());
        for (CUevent event : moved) {
            Driver.destroy(event);
        }
    }
}
