package castalia.kernels.cpu;

import static castalia.kernels.cpu.Memory.ALL;
import static castalia.kernels.cpu.Memory.ORDER;
import static castalia.kernels.cpu.VectorMath.F;
import static castalia.kernels.cpu.VectorMath.L;
import static jdk.incubator.vector.FloatVector.fromMemorySegment;

import castalia.kernels.Buffer;
import castalia.kernels.DType;
import jdk.incubator.vector.FloatVector;

/** Embedding lookup and its gradient. */
final class Tokens {

    private Tokens() {}

    static final class Lookup extends WorkerPool.Task {
        private static final int ROWS_PER_BLOCK = 64;

        private long out;
        private DType outType = DType.F32;
        private long tokens;
        private long weight;
        private int first;
        private int rows;
        private int columns;
        private int vocabulary;

        void run(WorkerPool pool, Buffer to, Buffer ids, Buffer weights, int firstToken,
                int rowCount, int columnCount, int size) {
            out = to.segment().address();
            outType = Rows.numbers(to.type());
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
                if (outType != DType.F32) {
                    halves(out + 2L * row * columns, weight + 2L * token * columns, columns);
                } else {
                    words(out + 4L * row * columns, weight + 4L * token * columns, columns);
                }
            }
        }

        private static void words(long to, long from, int elements) {
            int i = 0;
            for (; i + L <= elements; i += L) {
                fromMemorySegment(F, ALL, from + 4L * i, ORDER).add(0f)
                        .intoMemorySegment(ALL, to + 4L * i, ORDER);
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

    /** Copies the rows whose tokens lie in a range. */
    static final class Selection extends WorkerPool.Task {
        private static final long BLOCK_BYTES = 1L << 16;

        private long out;
        private long from;
        private long tokens;
        private long rowBytes;
        private long rowsPerBlock;
        private int first;
        private int rows;
        private int vocabulary;

        void run(WorkerPool pool, Buffer to, Buffer x, Buffer ids, int firstToken, int rowCount,
                int columns, int size) {
            out = to.segment().address();
            from = x.segment().address();
            tokens = ids.segment().address();
            rowBytes = (long) columns * x.type().bytes();
            rowsPerBlock = Math.max(1, BLOCK_BYTES / rowBytes);
            first = firstToken;
            rows = rowCount;
            vocabulary = size;
            pool.run(this, Math.toIntExact((rows + rowsPerBlock - 1) / rowsPerBlock));
        }

        @Override
        void block(int block, int thread) {
            long end = Math.min(rows, (block + 1) * rowsPerBlock);
            for (long row = block * rowsPerBlock; row < end; row++) {
                long token = (long) Memory.i32(tokens + 4 * row) - first;
                if (token >= 0 && token < vocabulary) {
                    Memory.copy(out + row * rowBytes, from + row * rowBytes, rowBytes);
                }
            }
        }
    }

    /**
     * Adds rows of the gradient to their tokens' rows. A block is a range of tokens and a strip of
     * columns, whose sums stay in the second-level cache from when they are zeroed.
     */
    static final class Gradient extends WorkerPool.Task {
        private static final int STRIP = 512;
        private static final int RANGE = 256;

        private final Scratch scratch;
        private long dWeight;
        private long dOut;
        private DType outType = DType.F32;
        private long tokens;
        private int first;
        private int rows;
        private int columns;
        private int vocabulary;
        private int ranges;
        private boolean added;

        Gradient(Scratch scratch) {
            this.scratch = scratch;
        }

        void run(WorkerPool pool, Buffer to, Buffer gradient, Buffer ids, int firstToken,
                int rowCount, int columnCount, int size, boolean accumulate) {
            dWeight = to.segment().address();
            dOut = gradient.segment().address();
            outType = Rows.numbers(gradient.type());
            tokens = ids.segment().address();
            first = firstToken;
            rows = rowCount;
            columns = columnCount;
            vocabulary = size;
            ranges = (vocabulary + RANGE - 1) / RANGE;
            added = accumulate;
            scratch.ensureRows(4L * STRIP);
            pool.run(this, Math.multiplyExact(ranges, (columns + STRIP - 1) / STRIP));
        }

        @Override
        void block(int block, int thread) {
            int column = block / ranges * STRIP;
            int width = Math.min(STRIP, columns - column);
            int from = block % ranges * RANGE;
            int end = Math.min(vocabulary, from + RANGE);
            if (!added) {
                for (int token = from; token < end; token++) {
                    Rows.zero(sums(token, column), 4L * width);
                }
            }
            for (int row = 0; row < rows; row++) {
                long token = (long) Memory.i32(tokens + 4L * row) - first;
                if (token >= from && token < end) {
                    addRow(sums(token, column), (long) row * columns + column, width,
                            scratch.rows(thread));
                }
            }
        }

        private long sums(long token, int column) {
            return dWeight + 4L * (token * columns + column);
        }

        private void addRow(long to, long at, int width, long work) {
            if (outType == DType.F32) {
                add(to, dOut + 4 * at, width);
            } else {
                Rows.load(outType, work, dOut + 2 * at, width);
                add(to, work, width);
            }
        }

        private static void add(long to, long from, int elements) {
            int i = 0;
            for (; i + L <= elements; i += L) {
                FloatVector sum = fromMemorySegment(F, ALL, to + 4L * i, ORDER);
                FloatVector x = fromMemorySegment(F, ALL, from + 4L * i, ORDER);
                sum.add(x).intoMemorySegment(ALL, to + 4L * i, ORDER);
            }
            for (; i < elements; i++) {
                Memory.f32(to + 4L * i, Memory.f32(to + 4L * i) + Memory.f32(from + 4L * i));
            }
        }
    }
}
