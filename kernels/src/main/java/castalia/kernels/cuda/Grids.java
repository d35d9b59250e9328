package castalia.kernels.cuda;

import castalia.kernels.Buffer;
import castalia.kernels.DType;

/** Extents of launches, and the one type that the operands of a kernel share. */
final class Grids {

    /** Threads of a block where a kernel does not say otherwise. */
    static final int THREADS = 256;

    /** Most blocks in the second and third direction. */
    static final int MOST_Y = 65535;

    private static final int ELEMENTS_PER_BLOCK = 2048;
    private static final int MOST_BLOCKS = 8192;

    private Grids() {}

    /** Blocks of a kernel over so many elements; more or fewer would give the same bits. */
    static int pieces(long count) {
        return Math.clamp(
                (count + ELEMENTS_PER_BLOCK - 1) / ELEMENTS_PER_BLOCK, 1, MOST_BLOCKS);
    }

    static int blocks(long count, int perBlock, int most) {
        return (int) Math.min((count + perBlock - 1) / perBlock, most);
    }

    /** The type of both buffers. */
    static DType same(String operation, Buffer a, Buffer b) {
        if (a.type() != b.type()) {
            throw new IllegalArgumentException(operation + ": the CUDA back end wants operands of"
                    + " one type, not " + a.type() + " and " + b.type());
        }
        return a.type();
    }
}
