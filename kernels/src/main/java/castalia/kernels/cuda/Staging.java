package castalia.kernels.cuda;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import jcuda.driver.CUevent;

/**
 * Copies between the device and ordinary host memory through a few pinned slots, used in turn, so
 * that the bus is busy while the host fills or empties others. A slot is waited for only where it is
 * not known that its last copy is done: what was waited for says so of everything before it.
 */
final class Staging implements AutoCloseable {

    private static final long SLOT = 1L << 20;
    private static final int SLOTS = 8;

    /** Slots that a download fills before it empties the first. */
    private static final int AHEAD = 4;

    private final DriverLibrary driver;
    private final NativePointer.Stream stream;
    private final MemorySegment pinned;
    private final CUevent[] moved = new CUevent[SLOTS];
    private final long[] number = new long[SLOTS];
    private long started;
    private long done;

    Staging(DriverLibrary driver, NativePointer.Stream stream, Arena arena) {
        this.driver = driver;
        this.stream = stream;
        pinned = arena.allocate(SLOTS * SLOT, 4096);
        Driver.register(pinned.address(), pinned.byteSize());
        for (int i = 0; i < SLOTS; i++) {
            moved[i] = Driver.event();
        }
    }

    private MemorySegment slot(int slot) {
        return pinned.asSlice(slot * SLOT, SLOT);
    }

    /** The next slot, whose last copy is done. */
    private int next() {
        int slot = (int) (started % SLOTS);
        await(slot);
        return slot;
    }

    /** A copy from or to a slot was started. */
    private void started(int slot) {
        Driver.record(moved[slot], stream);
        started++;
        number[slot] = started;
    }

    private void await(int slot) {
        if (number[slot] > done) {
            Driver.await(moved[slot]);
            done = number[slot];
        }
    }

    /** When this returns {@code from} may change; the copy is in the stream's order. */
    void upload(long to, MemorySegment from) {
        long parts = (from.byteSize() + SLOT - 1) / SLOT;
        for (long part = 0; part < parts; part++) {
            int slot = next();
            long at = part * SLOT;
            MemorySegment.copy(from, at, slot(slot), 0, bytes(from, part));
            driver.toDevice(to + at, slot(slot).address(), bytes(from, part), stream.address());
            started(slot);
        }
    }

    /** Waits for the stream's work and copies what it left. */
    void download(MemorySegment to, long from) {
        long parts = (to.byteSize() + SLOT - 1) / SLOT;
        long first = started;
        long taken = 0;
        for (long part = 0; part < parts; part++) {
            int slot = next();
            driver.toHost(slot(slot).address(), from + part * SLOT, bytes(to, part),
                    stream.address());
            started(slot);
            if (part - taken == AHEAD) {
                take(to, taken, first);
                taken++;
            }
        }
        for (; taken < parts; taken++) {
            take(to, taken, first);
        }
    }

    private static long bytes(MemorySegment of, long part) {
        return Math.min(SLOT, of.byteSize() - part * SLOT);
    }

    /** Empties the slot of a part, where the parts began with slot {@code first}. */
    private void take(MemorySegment to, long part, long first) {
        int slot = (int) ((first + part) % SLOTS);
        await(slot);
        MemorySegment.copy(slot(slot), 0, to, part * SLOT, bytes(to, part));
    }

    @Override
    public void close() {
        Driver.unregister(pinned.address());
        for (CUevent event : moved) {
            Driver.destroy(event);
        }
    }
}
