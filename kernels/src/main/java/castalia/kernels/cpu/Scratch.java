package castalia.kernels.cpu;

import castalia.kernels.Arena;
import castalia.kernels.DType;

/**
 * Working memory of a device: per thread one region for rows and tiles, one for the scratchpad of a
 * product and one for operands of a product that are widened or turned; shared by all threads one region
 * for partial sums and one for an operand that is packed. Regions grow when a larger shape is first seen and
 * are reused from then on; nothing in them outlives a call.
 */
final class Scratch {

    private static final int CACHE_LINE = 64;

    private final Arena arena;
    private final int threads;

    /** Keeps what {@link #warm} reads from being left out by a compiler; a cache line per thread. */
    private final int[] warmed;

    private long rows;
    private long rowBytes;
    private long products;
    private long productBytes;
    private long operands;
    private long operandBytes;
    private long shared;
    private long sharedBytes;
    private long packed;
    private long packedBytes;

    Scratch(Arena arena, int threads) {
        this.arena = arena;
        this.threads = threads;
        warmed = new int[threads * (CACHE_LINE / Integer.BYTES)];
    }

    int threads() {
        return threads;
    }

    /** Makes room for {@code bytes} per thread for rows and tiles. */
    void ensureRows(long bytes) {
        if (bytes > rowBytes) {
            rowBytes = rounded(bytes);
            rows = allocate(rowBytes * threads);
        }
    }

    /** Address of a thread's rows and tiles, on a page boundary of its own. */
    long rows(int thread) {
        return rows + thread * rowBytes;
    }

    void ensureProduct(long bytes) {
        if (bytes > productBytes) {
            productBytes = rounded(bytes);
            products = allocate(productBytes * threads);
        }
    }

    long product(int thread) {
        return products + thread * productBytes;
    }

    void ensureOperands(long bytes) {
        if (bytes > operandBytes) {
            operandBytes = rounded(bytes);
            operands = allocate(operandBytes * threads);
        }
    }

    long operands(int thread) {
        return operands + thread * operandBytes;
    }

    void ensureShared(long bytes) {
        if (bytes > sharedBytes) {
            sharedBytes = rounded(bytes);
            shared = allocate(sharedBytes);
        }
    }

    long shared() {
        return shared;
    }

    /**
     * Brings rows that a product is about to add to into the calling thread's cache, line after line as
     * memory is fastest: the product itself reads a few lines here and there and waits for each.
     *
     * @param stride bytes between rows
     * @param bytes of a row
     */
    void warm(int thread, long from, long stride, int count, int bytes) {
        int seen = 0;
        for (int row = 0; row < count; row++) {
            long at = from + row * stride;
            for (int i = 0; i < bytes; i += CACHE_LINE) {
                seen |= Memory.i32(at + i);
            }
        }
        warmed[thread * (CACHE_LINE / Integer.BYTES)] = seen;
    }

    void ensurePacked(long bytes) {
        if (bytes > packedBytes) {
            packedBytes = rounded(bytes);
            packed = allocate(packedBytes);
        }
    }

    /** An operand that is packed for all threads. */
    long packed() {
        return packed;
    }

    /** Growth is by a quarter at least, so that the sizes given up add to a small multiple. */
    private static long rounded(long bytes) {
        return (bytes + bytes / 4 + 4095) / 4096 * 4096;
    }

    private long allocate(long bytes) {
        return arena.allocate(DType.BF16, (bytes + 64) / 2).segment().address();
    }
}
