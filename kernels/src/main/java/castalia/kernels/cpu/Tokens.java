package castalia.kernels.cpu;

import static castalia.kernels.cpu.VectorMath.L;
import static castalia.kernels.cpu.VectorMath.load;
import static castalia.kernels.cpu.VectorMath.store;

import castalia.kernels.Buffer;

/** Embedding lookup and its gradient. */
final class Tokens {

    private Tokens() {}

    static final class Lookup extends WorkerPool.Task {
        private static final int ROWS_PER_BLOCK = 64;

        private long out;
        private boolean outBf16;
        private long tokens;
        private long weight;
        private int first;
        private int rows;
        private int columns;
        private int vocabulary;

        void run(WorkerPool pool, Buffer to, Buffer ids, Buffer weights, int firstToken,
                int rowCount, int columnCount, int size) {
            out = to.segment().address();
            outBf16 = Rows.isBf16(to.type());
            tokens = ids.segment().address();
            weight = weights.segment().address();
            first = firstToken;
            rows = rowCount;
            columns = columnCount;
            vocabulary = size;
            pool.run(this, (rows + ROWS_PER_BLOCK - 1) / ROWS_PER_BLOCK);
        }

        @Override
        void block(int block, int thread) {
            int end = Math.min(rows, (block + 1) * ROWS_PER_BLOCK);
            for (int row = block * ROWS_PER_BLOCK; row < end; row++) {
                long token = (long) Memory.i32(tokens + 4L * row) - first;
                if (token < 0 || token >= vocabulary) {
                    continue;
                }
                if (outBf16) {
                    halves(out + 2L * row * columns, weight + 2L * token * columns, columns);
                } else {
                    words(out + 4L * row * columns, weight + 4L * token * columns, columns);
                }
            }
        }

        private static void words(long to, long from, int elements) {
            int i = 0;
            for (; i + L <= elements; i += L) {
                store(to + 4L * i, load(from + 4L * i).add(0f));
            }
            for (; i < elements; i++) {
                Memory.f32(to + 4L * i, Memory.f32(from + 4L * i) + 0f);
            }
        }

        private static void halves(long to, long from, int elements) {
            for (int i = 0; i < elements; i++) {
                short value = Memory.i16(from + 2L * i);
                Memory.i16(to + 2L * i, value == Short.MIN_VALUE ? (short) 0 : value);
            }
        }
    }

    /** Adds rows of the gradient to their tokens' rows; a block is a strip of columns. */
    static final class Gradient extends WorkerPool.Task {
        private static final int STRIP = 64;

        private final Scratch scratch;
        private final Pointwise.Fill fill = new Pointwise.Fill();
        private long dWeight;
        private long dOut;
        private boolean outBf16;
        private long tokens;
        private int first;
        private int rows;
        private int columns;
        private int vocabulary;

        Gradient(Scratch scratch) {
            this.scratch = scratch;
        }

        void run(WorkerPool pool, Buffer to, Buffer gradient, Buffer ids, int firstToken,
                int rowCount, int columnCount, int size, boolean accumulate) {
            dWeight = to.segment().address();
            dOut = gradient.segment().address();
            outBf16 = Rows.isBf16(gradient.type());
            tokens = ids.segment().address();
            first = firstToken;
            rows = rowCount;
            columns = columnCount;
            vocabulary = size;
            scratch.ensureRows(4L * STRIP);
            if (!accumulate) {
                fill.runZero(pool, dWeight, 4L * vocabulary * columns);
            }
            pool.run(this, (columns + STRIP - 1) / STRIP);
        }

        @Override
        void block(int block, int thread) {
            long work = scratch.rows(thread);
            int column = block * STRIP;
            int width = Math.min(STRIP, columns - column);
            for (int row = 0; row < rows; row++) {
                long token = (long) Memory.i32(tokens + 4L * row) - first;
                if (token < 0 || token >= vocabulary) {
                    continue;
                }
                long to = dWeight + 4L * (token * columns + column);
                long at = (long) row * columns + column;
                if (outBf16) {
                    Rows.widen(work, dOut + 2 * at, width);
                    add(to, work, width);
                } else {
                    add(to, dOut + 4 * at, width);
                }
            }
        }

        private static void add(long to, long from, int elements) {
            int i = 0;
            for (; i + L <= elements; i += L) {
                store(to + 4L * i, load(to + 4L * i).add(load(from + 4L * i)));
            }
            for (; i < elements; i++) {
                Memory.f32(to + 4L * i, Memory.f32(to + 4L * i) + Memory.f32(from + 4L * i));
            }
        }
    }
}
