package castalia.kernels.cpu;

import castalia.kernels.Arena;
import castalia.kernels.DType;

/**
 * Working memory of a device: per thread one region for rows and tiles, one for the scratchpad of a
 * product and one for operands of a product that are widened, and one shared region for partial
 * sums. Regions grow when a larger shape is first seen and are reused from then on; nothing in them
 * outlives a call.
 */
final class Scratch {

    private final Arena arena;
    private final int threads;
    private long rows;
    private long rowBytes;
    private long products;
    private long productBytes;
    private long operands;
    private long operandBytes;
    private long shared;
    private long sharedBytes;

    Scratch(Arena arena, int threads) {
        this.arena = arena;
        this.threads = threads;
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

    /** Growth is by a quarter at least, so that the sizes given up add to a small multiple. */
    private static long rounded(long bytes) {
        return (bytes + bytes / 4 + 4095) / 4096 * 4096;
    }

    private long allocate(long bytes) {
        return arena.allocate(DType.BF16, (bytes + 64) / 2).segment().address();
    }
}
