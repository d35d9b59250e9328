package castalia.kernels.cuda;

import static java.lang.foreign.ValueLayout.JAVA_DOUBLE;
import static java.lang.foreign.ValueLayout.JAVA_FLOAT;
import static java.lang.foreign.ValueLayout.JAVA_INT;
import static java.lang.foreign.ValueLayout.JAVA_LONG;

import castalia.kernels.Buffer;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import org.jspecify.annotations.Nullable;

/**
 * Launches kernels on one stream: arguments are written, in the kernel's order, into a block of
 * native memory that every launch uses again (the driver copies them), so nothing is allocated.
 */
final class Launcher {

    private static final int MOST_ARGUMENTS = 32;
    private static final int VALUE_BYTES = 4096;

    private final DriverLibrary driver;
    private final long stream;
    private final MemorySegment pointers;
    private final MemorySegment values;
    private long function;
    private int arguments;
    private long used;

    Launcher(DriverLibrary driver, long stream, Arena arena) {
        this.driver = driver;
        this.stream = stream;
        pointers = arena.allocate(JAVA_LONG, MOST_ARGUMENTS);
        values = arena.allocate(VALUE_BYTES, Long.BYTES);
    }

    /** Begins the arguments of a kernel. */
    Launcher of(long kernel) {
        function = kernel;
        arguments = 0;
        used = 0;
        return this;
    }

    private long room(int bytes) {
        long at = used;
        pointers.setAtIndex(JAVA_LONG, arguments, values.address() + at);
        arguments++;
        used += bytes;
        return at;
    }

    Launcher buffer(@Nullable Buffer buffer) {
        return i64(buffer == null ? 0 : buffer.segment().address());
    }

    /** Up to {@code most} buffers as one argument. */
    Launcher buffers(Buffer[] buffers, int most) {
        if (buffers.length > most) {
            throw new IllegalArgumentException("the CUDA back end joins up to " + most
                    + " parts, not " + buffers.length);
        }
        long at = room(most * Long.BYTES);
        for (int i = 0; i < most; i++) {
            values.set(JAVA_LONG, at + (long) i * Long.BYTES,
                    i < buffers.length ? buffers[i].segment().address() : 0);
        }
        return this;
    }

    Launcher i64(long value) {
        values.set(JAVA_LONG, room(Long.BYTES), value);
        return this;
    }

    Launcher i32(int value) {
        values.set(JAVA_INT, room(Long.BYTES), value);
        return this;
    }

    Launcher flag(boolean value) {
        return i32(value ? 1 : 0);
    }

    Launcher f32(float value) {
        values.set(JAVA_FLOAT, room(Long.BYTES), value);
        return this;
    }

    Launcher f64(double value) {
        values.set(JAVA_DOUBLE, room(Long.BYTES), value);
        return this;
    }

    /** Starts the kernel. */
    void launch(int gridX, int gridY, int gridZ, int block, int sharedBytes) {
        driver.launch(function, gridX, gridY, gridZ, block, sharedBytes, stream,
                pointers.address());
    }

    void launch(int grid, int block) {
        launch(grid, 1, 1, block, 0);
    }
}
