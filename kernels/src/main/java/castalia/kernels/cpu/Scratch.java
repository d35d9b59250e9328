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

    private final Region rows = new Region();
    private final Region products = new Region();
    private final Region operands = new Region();
    private final Region shared = new Region();
    private final Region packed = new Region();

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
        rows.ensure(bytes, threads);
    }

    /** Address of a thread's rows and tiles, on a page boundary of its own. */
    long rows(int thread) {
        return rows.of(thread);
    }

    void ensureProduct(long bytes) {
        products.ensure(bytes, threads);
    }

    long product(int thread) {
        return products.of(thread);
    }

    void ensureOperands(long bytes) {
        operands.ensure(bytes, threads);
    }

    long operands(int thread) {
        return operands.of(thread);
    }

    void ensureShared(long bytes) {
        shared.ensure(bytes, 1);
    }

    long shared() {
        return shared.of(0);
    }

    void ensurePacked(long bytes) {
        packed.ensure(bytes, 1);
    }

    /** An operand that is packed for all threads. */
    long packed() {
        return packed.of(0);
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

    /** As many pieces of equal size as there are users. */
    private final class Region {
        private long address;
        private long bytes;

        void ensure(long needed, int users) {
            if (needed > bytes) {
                bytes = rounded(needed);
                address = allocate(bytes * users);
            }
        }

        long of(int user) {
            return address + user * bytes;
        }
    }

    /** Growth is by a quarter at least, so that the sizes given up add to a small multiple. */
    private static long rounded(long bytes) {
        return (bytes + bytes / 4 + 4095) / 4096 * 4096;
    }

    private long allocate(long bytes) {
        return arena.allocate(DType.BF16, (bytes + 64) / 2).segment().address();
    }
}
