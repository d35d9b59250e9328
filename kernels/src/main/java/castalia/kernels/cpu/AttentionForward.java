package castalia.kernels.cpu;

import static castalia.kernels.cpu.Memory.ALL;
import static castalia.kernels.cpu.Memory.ORDER;
import static castalia.kernels.cpu.VectorMath.F;
import static castalia.kernels.cpu.VectorMath.L;
import static jdk.incubator.vector.FloatVector.fromMemorySegment;

import castalia.kernels.Buffer;
import castalia.kernels.DType;
import org.jspecify.annotations.Nullable;

/** The forward pass; see {@link Attention}. */
final class AttentionForward extends WorkerPool.Task {

    private static final int QUERIES = Attention.FORWARD_QUERIES;
    private static final int KEYS = Attention.FORWARD_KEYS;
    private static final long FOLD_BYTES = 128;
    private static final long STATE_BYTES = 4L * QUERIES;
    private static final long SCORE_BYTES = 4L * QUERIES * KEYS;

    private final Scratch scratch;
    private Attention.@Nullable Plan plan;
    private long out;
    private long lse;
    private long qkv;
    private int pairs;

    AttentionForward(Scratch scratch) {
        this.scratch = scratch;
    }

    void run(WorkerPool pool, Attention.Plan shape, Buffer to, Buffer logSums, Buffer from,
            int batch) {
        plan = shape;
        out = to.segment().address();
        lse = logSums.segment().address();
        qkv = from.segment().address();
        pairs = batch * shape.heads;
        scratch.ensureRows(FOLD_BYTES + 2 * STATE_BYTES + SCORE_BYTES
                + 4L * (QUERIES + 1) * shape.width + shape.packedBytes(QUERIES + KEYS));
        pool.run(this, pairs * shape.queryBlocks);
    }

    @Override
    void block(int block, int thread) {
        if (plan != null) {
            unit(plan, block, thread);
        }
    }

    /** One block of queries of one head; those that see most keys come first. */
    private void unit(Attention.Plan shape, int block, int thread) {
        int q = shape.queryBlocks - 1 - block / pairs;
        int pair = block % pairs;
        int sequence = pair / shape.heads;
        int head = pair % shape.heads;
        int rows = shape.forwardQueries(q);
        int bytes = shape.type.bytes();
        long fold = scratch.rows(thread);
        long maxima = fold + FOLD_BYTES;
        long sums = maxima + STATE_BYTES;
        long scores = sums + STATE_BYTES;
        long packedQueries = scores + SCORE_BYTES;
        long packedKeys = packedQueries + shape.packedBytes(QUERIES);
        long result = packedKeys + shape.packedBytes(KEYS);
        long token = (long) sequence * shape.sequence;
        long headAt = qkv + ((token * shape.heads + head) * 3L * shape.dimension) * bytes;
        long queries = shape.pack(packedQueries,
                headAt + (long) q * QUERIES * shape.qkvStride * bytes, rows, shape.qkvStride);
        float scale = (float) (1 / Math.sqrt(shape.dimension));
        for (int k = 0; k < shape.forwardKeyBlocks(q); k++) {
            long keys = headAt
                    + ((long) k * KEYS * shape.qkvStride + shape.dimension) * bytes;
            int count = shape.forwardKeys(q, k);
            shape.scores[q][k].run(thread, scores, queries,
                    shape.pack(packedKeys, keys, count, shape.qkvStride), 0);
            softmax(shape, k == 0, rows, count, q * QUERIES + 1 - k * KEYS, scale, fold, maxima,
                    sums, scores, result);
            shape.values[q][k].run(
                    thread, result, scores, keys + (long) shape.dimension * bytes, 0);
        }
        long first = (token + (long) q * QUERIES) * shape.heads + head;
        for (int row = 0; row < rows; row++) {
            float sum = Memory.f32(sums + 4L * row);
            finishRow(shape, out + (first + (long) row * shape.heads) * shape.dimension * bytes,
                    result + 4L * row * shape.width, 1f / sum);
            Memory.f32(lse + 4L * ((long) pair * shape.sequence + (long) q * QUERIES + row),
                    (float) ((double) Memory.f32(maxima + 4L * row) * scale + StrictMath.log(sum)));
        }
    }

    /**
     * Turns a tile of scores into exponentials, row by row; the first sees {@code visible} keys, each
     * later one a key more. A row's maximum is found while the row before it is computed.
     */
    private static void softmax(Attention.Plan shape, boolean first, int rows, int count,
            int visible, float scale, long fold, long maxima, long sums, long scores, long result) {
        boolean narrow = VectorMath.WIDE && shape.type == DType.BF16;
        int whole = Rows.padded(count);
        int row = 0;
        // These queries see no key of the block.
        for (; row < rows && visible + row <= 0; row++) {
            Rows.zero(scores + 4L * row * KEYS, 4L * whole);
        }
        long line = scores + 4L * row * KEYS;
        int size = row < rows ? mask(line, Math.min(count, visible + row)) : 0;
        float largest = row < rows ? VectorMath.largest(line, size) : 0f;
        for (; row < rows; row++) {
            long next = line + 4L * KEYS;
            int nextSize = row + 1 < rows ? mask(next, Math.min(count, visible + row + 1)) : 0;
            float before = first ? Float.NEGATIVE_INFINITY : Memory.f32(maxima + 4L * row);
            float max = Math.max(before, largest);
            long ahead = nextSize == size ? next : line;
            if (narrow) {
                largest = VectorMath.roundedExponentialsAhead(line, max, scale, size, fold, ahead);
            } else {
                largest = VectorMath.exponentialsAhead(line, max, scale, size, fold, ahead);
            }
            if (nextSize != size && nextSize > 0) {
                largest = VectorMath.largest(next, nextSize);
            }
            float sum = VectorMath.fold(fold);
            if (!first) {
                sum = joined(shape, sum, before, max, scale, sums + 4L * row,
                        result + 4L * row * shape.width);
            }
            Memory.f32(maxima + 4L * row, max);
            Memory.f32(sums + 4L * row, sum);
            if (narrow) {
                Rows.zero(line + 2L * size, 2L * (whole - size));
            } else {
                Rows.zero(line + 4L * size, 4L * (whole - size));
                if (shape.rounded) {
                    Rows.round(shape.type, line, line, whole);
                }
            }
            line = next;
            size = nextSize;
        }
    }

    /** Fills a row up to whole groups with what has no weight; returns its length then. */
    private static int mask(long line, int seen) {
        int size = Rows.padded(seen);
        for (int i = seen; i < size; i++) {
            Memory.f32(line + 4L * i, Float.NEGATIVE_INFINITY);
        }
        return size;
    }

    /** The sum of a row's exponentials so far, whose maximum may have grown since. */
    private static float joined(Attention.Plan shape, float sum, float before, float max,
            float scale, long sums, long result) {
        if (before == max) {
            return sum + Memory.f32(sums);
        }
        float correction = VectorMath.exp((before - max) * scale);
        if (correction != 1f) {
            scale(result, correction, shape.width);
        }
        return sum + Memory.f32(sums) * correction;
    }

    static void scale(long x, float factor, int elements) {
        for (int i = 0; i < elements; i += L) {
            fromMemorySegment(F, ALL, x + 4L * i, ORDER).mul(factor)
                    .intoMemorySegment(ALL, x + 4L * i, ORDER);
        }
    }

    private static void finishRow(
            Attention.Plan shape, long target, long sums, float factor) {
        scale(sums, factor, shape.width);
        Rows.round(shape.type, target, sums, shape.dimension);
    }
}
