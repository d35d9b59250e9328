package castalia.kernels.cpu;

import castalia.kernels.Buffer;
import castalia.kernels.DType;

/**
 * An operation on every element of up to two inputs. Blocks and the pieces that pass through
 * working memory are of fixed size; in place is allowed, element by element.
 */
abstract class Elementwise extends WorkerPool.Task {

    /** Elements of a piece: four rows of it fit the first-level cache. */
    static final int PIECE = 2048;

    /** Elements of a block. */
    static final int BLOCK = 8 * PIECE;

    /** Bytes of working memory per piece; no power of two, so that pieces do not collide. */
    static final long PIECE_BYTES = 4L * PIECE + 256;

    private final Scratch scratch;
    private long out;
    private long first;
    private long second;
    private DType outType = DType.F32;
    private DType firstType = DType.F32;
    private DType secondType = DType.F32;
    private boolean two;
    private long count;

    Elementwise(Scratch scratch) {
        this.scratch = scratch;
    }

    /** Computes a multiple of 16 elements, at most a piece; {@code work} has room for two. */
    abstract void piece(long to, long x, long y, long work, int elements);

    void run(WorkerPool pool, Buffer to, Buffer x, Buffer y, long elements) {
        two = true;
        second = y.segment().address();
        secondType = Rows.numbers(y.type());
        start(pool, to, x, elements);
    }

    void run(WorkerPool pool, Buffer to, Buffer x, long elements) {
        two = false;
        second = 0;
        start(pool, to, x, elements);
    }

    private void start(WorkerPool pool, Buffer to, Buffer x, long elements) {
        out = to.segment().address();
        outType = Rows.numbers(to.type());
        first = x.segment().address();
        firstType = Rows.numbers(x.type());
        count = elements;
        scratch.ensureRows(5 * PIECE_BYTES);
        pool.run(this, blocks(elements));
    }

    static int blocks(long elements) {
        return Math.toIntExact((elements + BLOCK - 1) / BLOCK);
    }

    @Override
    final void block(int block, int thread) {
        long work = scratch.rows(thread);
        long end = Math.min(count, (block + 1L) * BLOCK);
        for (long at = (long) block * BLOCK; at < end; at += PIECE) {
            int n = (int) Math.min(PIECE, end - at);
            long x = Rows.read(first + at * firstType.bytes(), firstType, n, work);
            long y = two
                    ? Rows.read(second + at * secondType.bytes(), secondType, n,
                            work + PIECE_BYTES)
                    : x;
            long target = out + at * outType.bytes();
            long to = Rows.write(target, outType, n, work + 2 * PIECE_BYTES);
            piece(to, x, y, work + 3 * PIECE_BYTES, Rows.padded(n));
            Rows.written(target, outType, n, work + 2 * PIECE_BYTES);
        }
    }
}
