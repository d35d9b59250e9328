package castalia.kernels.cpu;

import static castalia.kernels.cpu.Memory.ALL;
import static castalia.kernels.cpu.Memory.ORDER;
import static castalia.kernels.cpu.VectorMath.F;
import static castalia.kernels.cpu.VectorMath.L;
import static jdk.incubator.vector.FloatVector.fromMemorySegment;

import castalia.kernels.Buffer;
import castalia.kernels.DType;
import castalia.kernels.Kernels;
import jdk.incubator.vector.FloatVector;

/** Adds the partial column sums of row groups in ascending order. */
final class GroupFold extends WorkerPool.Task {

    private static final int COLUMNS = 1024;

    private long out;
    private long partials;
    private int groups;
    private long stride;
    private int columns;
    private boolean accumulate;

    void run(WorkerPool pool, Buffer to, long from, int groupCount, long strideBytes,
            int columnCount, boolean add) {
        out = to.segment().address();
        partials = from;
        groups = groupCount;
        stride = strideBytes;
        columns = columnCount;
        accumulate = add;
        pool.run(this, (columns + COLUMNS - 1) / COLUMNS);
    }

    @Override
    void block(int block, int thread) {
        int end = Math.min(columns, (block + 1) * COLUMNS);
        int column = block * COLUMNS;
        for (; column + L <= end; column += L) {
            fold(out + 4L * column, partials + 4L * column, groups, stride, accumulate);
        }
        for (; column < end; column++) {
            float sum = Memory.f32(partials + 4L * column);
            for (int group = 1; group < groups; group++) {
                sum += Memory.f32(partials + 4L * column + group * stride);
            }
            long to = out + 4L * column;
            Memory.f32(to, accumulate ? Memory.f32(to) + sum : sum);
        }
    }

    private static void fold(long to, long from, int groups, long stride, boolean accumulate) {
        FloatVector sum = fromMemorySegment(F, ALL, from, ORDER);
        for (int group = 1; group < groups; group++) {
            sum = sum.add(fromMemorySegment(F, ALL, from + group * stride, ORDER));
        }
        if (accumulate) {
            fromMemorySegment(F, ALL, to, ORDER).add(sum).intoMemorySegment(ALL, to, ORDER);
        } else {
            sum.intoMemorySegment(ALL, to, ORDER);
        }
    }

    /** Column sums of a matrix, by row groups. */
    static final class Columns extends WorkerPool.Task {
        private static final int GROUP = Kernels.ROW_GROUP;

        private final Scratch scratch;
        private final GroupFold fold;
        private long from;
        private DType type = DType.F32;
        private int rows;
        private int columns;
        private long partials;

        Columns(Scratch scratch, GroupFold fold) {
            this.scratch = scratch;
            this.fold = fold;
        }

        void run(WorkerPool pool, Buffer to, Buffer x, int rowCount, int columnCount, boolean add) {
            from = x.segment().address();
            type = Rows.numbers(x.type());
            rows = rowCount;
            columns = columnCount;
            int groups = (rows + GROUP - 1) / GROUP;
            long row = 4L * Rows.padded(columns);
            scratch.ensureRows(row + 256);
            scratch.ensureShared(groups * row);
            partials = scratch.shared();
            pool.run(this, groups);
            fold.run(pool, to, partials, groups, row, columns, add);
        }

        @Override
        void block(int block, int thread) {
            int size = Rows.padded(columns);
            long sums = partials + block * 4L * size;
            Rows.zero(sums, 4L * size);
            long work = scratch.rows(thread);
            int end = Math.min(rows, (block + 1) * GROUP);
            for (int row = block * GROUP; row < end; row++) {
                long x = Rows.read(
                        from + (long) row * columns * type.bytes(), type, columns, work);
                Pointwise.addRows(sums, sums, x, size);
            }
        }
    }
}
