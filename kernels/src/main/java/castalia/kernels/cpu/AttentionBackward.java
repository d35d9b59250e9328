package castalia.kernels.cpu;

import static castalia.kernels.cpu.Memory.ALL;
import static castalia.kernels.cpu.Memory.ORDER;
import static castalia.kernels.cpu.VectorMath.EXP_2;
import static castalia.kernels.cpu.VectorMath.EXP_3;
import static castalia.kernels.cpu.VectorMath.EXP_4;
import static castalia.kernels.cpu.VectorMath.EXP_5;
import static castalia.kernels.cpu.VectorMath.EXP_6;
import static castalia.kernels.cpu.VectorMath.EXP_MAX;
import static castalia.kernels.cpu.VectorMath.EXP_MIN;
import static castalia.kernels.cpu.VectorMath.F;
import static castalia.kernels.cpu.VectorMath.L;
import static castalia.kernels.cpu.VectorMath.LN2_HIGH;
import static castalia.kernels.cpu.VectorMath.LN2_LOW;
import static castalia.kernels.cpu.VectorMath.LOG2_E;
import static castalia.kernels.cpu.VectorMath.ONE_BITS;
import static castalia.kernels.cpu.VectorMath.ROUND;
import static jdk.incubator.vector.FloatVector.broadcast;
import static jdk.incubator.vector.FloatVector.fromMemorySegment;

import castalia.kernels.Buffer;
import castalia.kernels.DType;
import jdk.incubator.vector.FloatVector;
import jdk.incubator.vector.IntVector;
import jdk.incubator.vector.ShortVector;
import jdk.incubator.vector.VectorOperators;
import org.jspecify.annotations.Nullable;

/**
 * The backward pass; see {@link Attention}. Tiles are transposed, keys by queries, so that three
 * of the five products read them as they lie.
 */
final class AttentionBackward extends WorkerPool.Task {

    private static final int SIZE = Attention.BACKWARD_BLOCK;
    private static final int STRIP = Attention.BACKWARD_STRIP;
    private static final long STATE_BYTES = 4L * SIZE;
    private static final long TILE_BYTES = 4L * SIZE * SIZE;

    private final Scratch scratch;
    private final Deltas deltas;
    private final QueryGradients queryGradients;
    private Attention.@Nullable Plan plan;
    private long dQkv;
    private long dOut;
    private long lse;
    private long qkv;
    private long delta;
    private long partials;
    private int pairs;

    AttentionBackward(Scratch scratch) {
        this.scratch = scratch;
        deltas = new Deltas(scratch);
        queryGradients = new QueryGradients(scratch);
    }

    void run(WorkerPool pool, Attention.Plan shape, Buffer to, Buffer gradient, Buffer out,
            Buffer logSums, Buffer from, int batch) {
        plan = shape;
        dQkv = to.segment().address();
        dOut = gradient.segment().address();
        lse = logSums.segment().address();
        qkv = from.segment().address();
        pairs = batch * shape.heads;
        long deltaBytes = (4L * pairs * shape.sequence + 63) / 64 * 64;
        long partialBytes = 4L * pairs * shape.sequence * shape.width;
        scratch.ensureShared(deltaBytes + shape.groups * partialBytes);
        delta = scratch.shared();
        partials = delta + deltaBytes;
        scratch.ensureRows(64 + 2 * STATE_BYTES + 2 * TILE_BYTES + 8L * SIZE * shape.width
                + 4 * shape.packedBytes(SIZE));
        deltas.run(pool, shape, delta, dOut, out.segment().address(), batch);
        pool.run(this, pairs * shape.groups);
        queryGradients.run(pool, shape, dQkv, partials, batch);
    }

    @Override
    void block(int block, int thread) {
        if (plan != null) {
            int group = block / pairs;
            for (int k = group; k < plan.blocks; k += plan.groups) {
                keyBlock(plan, block % pairs, group, k, thread);
            }
        }
    }

    private void keyBlock(Attention.Plan shape, int pair, int group, int k, int thread) {
        int bytes = shape.type.bytes();
        int dimension = shape.dimension;
        long work = scratch.rows(thread) + 64;
        long scores = work + 2 * STATE_BYTES;
        long products = scores + TILE_BYTES;
        long dKeys = products + TILE_BYTES;
        long dValues = dKeys + 4L * SIZE * shape.width;
        long packed = dValues + 4L * SIZE * shape.width;
        long packedBytes = shape.packedBytes(SIZE);
        long token = (long) (pair / shape.heads) * shape.sequence;
        int head = pair % shape.heads;
        long headOffset = (token * shape.heads + head) * 3L * dimension;
        long headAt = qkv + headOffset * bytes;
        long outAt = dOut + (token * shape.heads + head) * dimension * bytes;
        long keys = headAt + ((long) k * SIZE * shape.qkvStride + dimension) * bytes;
        long partial = partials
                + 4L * ((long) group * pairs + pair) * shape.sequence * shape.width;
        float scale = (float) (1 / Math.sqrt(dimension));
        int keyCount = shape.backwardSize(k);
        long keyRows = shape.pack(packed, keys, keyCount, shape.qkvStride);
        long valueRows = shape.pack(packed + packedBytes, keys + (long) dimension * bytes,
                keyCount, shape.qkvStride);
        for (int q = k; q < shape.blocks; q++) {
            int queryCount = shape.backwardSize(q);
            long at = (long) q * SIZE;
            long queries = headAt + at * shape.qkvStride * bytes;
            long gradients = outAt + at * shape.outStride * bytes;
            long queryRows = shape.pack(
                    packed + 2 * packedBytes, queries, queryCount, shape.qkvStride);
            long gradientRows = shape.pack(
                    packed + 3 * packedBytes, gradients, queryCount, shape.outStride);
            long state = 4L * ((long) pair * shape.sequence + at);
            Rows.copy(work, lse + state, queryCount);
            Rows.pad(work, queryCount);
            Rows.copy(work + STATE_BYTES, delta + state, queryCount);
            Rows.pad(work + STATE_BYTES, queryCount);
            long dQueries = partial + 4L * at * shape.width;
            if (q == k) {
                diagonal(shape, k, thread, work, scores, products, dKeys, dValues, dQueries,
                        keyRows, valueRows, queryRows, gradientRows, queries, gradients, keys);
                continue;
            }
            shape.backScores[k][q].run(thread, scores, keyRows, queryRows, 0);
            shape.backValues[k][q].run(thread, products, valueRows, gradientRows, 0);
            for (int row = 0; row < keyCount; row++) {
                tileRow(shape, scores + 4L * row * SIZE, products + 4L * row * SIZE, work, scale,
                        0, queryCount);
            }
            shape.dValues[k][q].run(thread, dValues, scores, gradients, 0);
            shape.dKeys[k][q].run(thread, dKeys, products, queries, 0);
            shape.dQueries[k][q].run(thread, dQueries, products, keys, 0);
        }
        long target = dQkv
                + (headOffset + (long) k * SIZE * shape.qkvStride + dimension) * bytes;
        for (int row = 0; row < keyCount; row++) {
            long to = target + (long) row * shape.qkvStride * bytes;
            long dKey = dKeys + 4L * row * shape.width;
            AttentionForward.scale(dKey, scale, shape.width);
            write(shape, to, dKey);
            write(shape, to + (long) dimension * bytes, dValues + 4L * row * shape.width);
        }
    }

    /** A block of keys and the queries of the same tokens: what nobody sees is left out by strips. */
    private static void diagonal(Attention.Plan shape, int k, int thread, long state, long scores,
            long products, long dKeys, long dValues, long dQueries, long keyRows, long valueRows,
            long queryRows, long gradientRows, long queries, long gradients, long keys) {
        int bytes = shape.type.bytes();
        float scale = (float) (1 / Math.sqrt(shape.dimension));
        int count = shape.backwardSize(k);
        long keyStep = (long) (shape.packed > 0 ? shape.packed : shape.qkvStride) * bytes;
        long gradientStep = (long) (shape.packed > 0 ? shape.packed : shape.outStride) * bytes;
        int strips = shape.stripScores[k].length;
        for (int s = 0; s < strips; s++) {
            long first = (long) s * STRIP;
            long tile = first * (4L * SIZE + bytes);
            shape.stripScores[k][s].run(thread, scores + tile, keyRows + first * keyStep,
                    queryRows + first * keyStep, 0);
            shape.stripBackValues[k][s].run(thread, products + tile, valueRows + first * keyStep,
                    gradientRows + first * gradientStep, 0);
            for (int row = 0; row < shape.stripSize(k, s); row++) {
                long line = 4L * row * SIZE + tile;
                tileRow(shape, scores + line, products + line, state + 4 * first, scale, row,
                        count - (int) first);
            }
            long to = 4L * first * shape.width;
            shape.stripDValues[k][s].run(thread, dValues + to, scores + tile,
                    gradients + first * shape.outStride * bytes, 0);
            shape.stripDKeys[k][s].run(thread, dKeys + to, products + tile,
                    queries + first * shape.qkvStride * bytes, 0);
        }
        for (int s = 0; s < strips; s++) {
            long first = (long) s * STRIP;
            shape.stripDQueries[k][s].run(thread, dQueries + 4L * first * shape.width,
                    products + first * bytes, keys, 0);
        }
    }

    private static void write(Attention.Plan shape, long to, long from) {
        Rows.round(shape.type, to, from, shape.dimension);
    }

    /**
     * Turns a row of scores into probabilities and a row of their gradients into score gradients;
     * queries before {@code first} do not see the key.
     */
    private static void tileRow(Attention.Plan shape, long scores, long products, long state,
            float scale, int first, int count) {
        int from = first & -16;
        int size = Rows.padded(count);
        probabilities(scores, products, state, scale, from, size);
        Rows.zero(scores, 4L * first);
        Rows.zero(products, 4L * first);
        // In place: the tile stays small enough for the second-level cache.
        if (shape.type == DType.BF16) {
            narrow(scores, size);
            narrow(products, size);
        } else if (shape.rounded) {
            Rows.round(shape.type, scores, scores, size);
            Rows.round(shape.type, products, products, size);
        }
    }

    /**
     * Rounds a row to BF16 in place. A NaN stays one without a check: it comes from numbers of BF16, so the
     * half of its bits that is rounded away is 0.
     */
    private static void narrow(long row, int elements) {
        for (int i = 0; i < elements; i += L) {
            IntVector bits = fromMemorySegment(F, ALL, row + 4L * i, ORDER).reinterpretAsInts();
            ((ShortVector) bits.add(bits.lanewise(VectorOperators.LSHR, 16).and(1)).add(0x7fff)
                            .lanewise(VectorOperators.LSHR, 16)
                            .convertShape(VectorOperators.I2S, VectorMath.S, 0))
                    .intoMemorySegment(ALL, row + 2L * i, ORDER);
        }
    }

    private static void probabilities(
            long scores, long products, long state, float scale, int from, int to) {
        for (int i = from; i < to; i += L) {
            FloatVector lse = fromMemorySegment(F, ALL, state + 4L * i, ORDER);
            FloatVector v = fromMemorySegment(F, ALL, scores + 4L * i, ORDER)
                    .fma(broadcast(F, scale), lse.neg());
            // Above 0 only by the rounding of scores so large that it exceeds one.
            FloatVector y = v.blend(EXP_MAX, v.compare(VectorOperators.GT, EXP_MAX));
            FloatVector shifted = y.fma(broadcast(F, LOG2_E), broadcast(F, ROUND));
            FloatVector n = shifted.sub(ROUND);
            FloatVector r = n.fma(broadcast(F, -LN2_HIGH), y);
            r = n.fma(broadcast(F, -LN2_LOW), r);
            FloatVector q = r.fma(broadcast(F, EXP_6), broadcast(F, EXP_5));
            q = q.fma(r, broadcast(F, EXP_4));
            q = q.fma(r, broadcast(F, EXP_3));
            q = q.fma(r, broadcast(F, EXP_2));
            q = q.fma(r.mul(r), r).add(1f);
            FloatVector power = shifted.reinterpretAsInts()
                    .lanewise(VectorOperators.LSHL, 23)
                    .add(ONE_BITS)
                    .reinterpretAsFloats();
            FloatVector p = q.mul(power).blend(0f, v.compare(VectorOperators.LT, EXP_MIN));
            FloatVector delta = fromMemorySegment(F, ALL, state + STATE_BYTES + 4L * i, ORDER);
            FloatVector dp = fromMemorySegment(F, ALL, products + 4L * i, ORDER).sub(delta);
            p.intoMemorySegment(ALL, scores + 4L * i, ORDER);
            p.mul(dp).intoMemorySegment(ALL, products + 4L * i, ORDER);
        }
    }

    /** The product of each output row with its gradient. */
    private static final class Deltas extends WorkerPool.Task {
        private static final int TOKENS = 64;

        private final Scratch scratch;
        private Attention.@Nullable Plan plan;
        private long to;
        private long gradients;
        private long outputs;
        private int tokens;

        Deltas(Scratch scratch) {
            this.scratch = scratch;
        }

        void run(WorkerPool pool, Attention.Plan shape, long delta, long dOut, long out,
                int batch) {
            plan = shape;
            to = delta;
            gradients = dOut;
            outputs = out;
            tokens = batch * shape.sequence;
            scratch.ensureRows(64 + 8L * shape.width);
            pool.run(this, (tokens + TOKENS - 1) / TOKENS);
        }

        @Override
        void block(int block, int thread) {
            if (plan == null) {
                return;
            }
            Attention.Plan shape = plan;
            int bytes = shape.type.bytes();
            long fold = scratch.rows(thread);
            long work = fold + 64;
            int end = Math.min(tokens, (block + 1) * TOKENS);
            for (int token = block * TOKENS; token < end; token++) {
                for (int head = 0; head < shape.heads; head++) {
                    long at = ((long) token * shape.heads + head) * shape.dimension * bytes;
                    long g = Rows.read(gradients + at, shape.type, shape.dimension, work);
                    long o = Rows.read(outputs + at, shape.type, shape.dimension,
                            work + 4L * shape.width);
                    int pair = token / shape.sequence * shape.heads + head;
                    Memory.f32(
                            to + 4L * ((long) pair * shape.sequence + token % shape.sequence),
                            LayerNorm.Backward.dot(g, o, shape.width, fold));
                }
            }
        }
    }

    /** Sums the partial query gradients over groups, scales and rounds them. */
    private static final class QueryGradients extends WorkerPool.Task {
        private final Scratch scratch;
        private Attention.@Nullable Plan plan;
        private long to;
        private long partials;
        private int pairs;

        QueryGradients(Scratch scratch) {
            this.scratch = scratch;
        }

        void run(WorkerPool pool, Attention.Plan shape, long dQkv, long from, int batch) {
            plan = shape;
            to = dQkv;
            partials = from;
            pairs = batch * shape.heads;
            pool.run(this, pairs * shape.blocks);
        }

        @Override
        void block(int block, int thread) {
            if (plan == null) {
                return;
            }
            Attention.Plan shape = plan;
            int bytes = shape.type.bytes();
            int q = block / pairs;
            int pair = block % pairs;
            long work = scratch.rows(thread);
            float scale = (float) (1 / Math.sqrt(shape.dimension));
            long stride = 4L * pairs * shape.sequence * shape.width;
            int groups = Math.min(shape.groups, q + 1);
            for (int row = 0; row < shape.backwardSize(q); row++) {
                long index = (long) q * SIZE + row;
                long from = partials + 4L * ((long) pair * shape.sequence + index) * shape.width;
                sum(work, from, stride, groups, scale, shape.width);
                long token = (long) (pair / shape.heads) * shape.sequence + index;
                long target = to + ((token * shape.heads + pair % shape.heads) * 3L
                        * shape.dimension) * bytes;
                write(shape, target, work);
            }
        }

        private static void sum(
                long to, long from, long stride, int groups, float scale, int elements) {
            for (int i = 0; i < elements; i += L) {
                FloatVector sum = fromMemorySegment(F, ALL, from + 4L * i, ORDER);
                for (int group = 1; group < groups; group++) {
                    long part = from + group * stride + 4L * i;
                    sum = sum.add(fromMemorySegment(F, ALL, part, ORDER));
                }
                sum.mul(scale).intoMemorySegment(ALL, to + 4L * i, ORDER);
            }
        }
    }
}
