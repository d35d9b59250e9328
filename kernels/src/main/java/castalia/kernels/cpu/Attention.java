package castalia.kernels.cpu;

import static castalia.kernels.cpu.Memory.ALL;
import static castalia.kernels.cpu.Memory.ORDER;
import static castalia.kernels.cpu.VectorMath.F;
import static castalia.kernels.cpu.VectorMath.L;
import static jdk.incubator.vector.FloatVector.fromMemorySegment;

import castalia.kernels.Buffer;
import castalia.kernels.DType;
import castalia.kernels.MatmulShape;
import java.util.ArrayList;
import java.util.List;
import jdk.incubator.vector.FloatVector;

/**
 * Causal attention in blocks of queries and keys, each a pair of products around a softmax over the
 * block; scores exist one block per thread at a time.
 *
 * <p>Forward, a unit of work is a block of queries of one head: key blocks ascending, running
 * maximum and sum, one division at the end. Backward, a unit is a head and a group of key blocks:
 * it owns the key and value gradients of its blocks, and one partial of the query gradients, which
 * are summed over groups ascending. All of it is a function of the shape.
 *
 * <p>With BF16 and F16, probabilities and score gradients are rounded to it before their products.
 */
final class Attention {

    /** Queries of a forward block. */
    static final int FORWARD_QUERIES = 128;

    /** Keys of a forward block. */
    static final int FORWARD_KEYS = 512;

    /** Queries and keys of a backward block. */
    static final int BACKWARD_BLOCK = 256;

    /**
     * Keys of a strip of a block on the diagonal: queries before them see none of it. The last strip
     * has the rest besides: a product of few rows sums in another order. Products leave out nothing
     * but zeros.
     */
    static final int BACKWARD_STRIP = 128;

    /**
     * oneDNN's F32 products whose sums have just this length take twice the time of those with one
     * more: they are given a zero more, which changes no sum.
     */
    private static final int SLOW_SUMS = 32;

    /** Elements between their rows then. */
    private static final int PACKED = Rows.padded(SLOW_SUMS + 1);

    /** Sequences longer than this have two groups of key blocks. */
    private static final int GROUPED_FROM = 512;

    private final Products products;
    private final WorkerPool pool;
    private final List<Plan> plans = new ArrayList<>();
    private final AttentionForward forward;
    private final AttentionBackward backward;

    Attention(Products products, WorkerPool pool, Scratch scratch) {
        this.products = products;
        this.pool = pool;
        forward = new AttentionForward(scratch);
        backward = new AttentionBackward(scratch);
    }

    void forward(Buffer out, Buffer lse, Buffer qkv, int batch, int sequence, int heads,
            int dimension) {
        Plan plan = plan(qkv.type(), sequence, heads, dimension);
        forward.run(pool, plan, out, lse, qkv, batch);
    }

    void backward(Buffer dQkv, Buffer dOut, Buffer out, Buffer lse, Buffer qkv, int batch,
            int sequence, int heads, int dimension) {
        Plan plan = plan(qkv.type(), sequence, heads, dimension);
        backward.run(pool, plan, dQkv, dOut, out, lse, qkv, batch);
    }

    private Plan plan(DType type, int sequence, int heads, int dimension) {
        for (int i = 0; i < plans.size(); i++) {
            Plan plan = plans.get(i);
            if (plan.type == type && plan.sequence == sequence && plan.heads == heads
                    && plan.dimension == dimension) {
                return plan;
            }
        }
        Plan plan = new Plan(products, type, sequence, heads, dimension);
        plans.add(plan);
        return plan;
    }

    /** The products of a shape, by block of queries and block of keys. */
    static final class Plan {
        final DType type;

        /** Whether probabilities and score gradients are rounded before their products. */
        final boolean rounded;

        final int sequence;
        final int heads;
        final int dimension;

        /** Elements between rows of tiles with one column per dimension. */
        final int width;

        /** Length of the sums over a head's dimension. */
        final int inner;

        /** Elements between packed rows, which end with zeros; 0 where rows are used as they lie. */
        final int packed;

        /** Elements between tokens of qkv, and of outputs. */
        final int qkvStride;
        final int outStride;
        final int queryBlocks;
        final int blocks;
        final int groups;
        final Product[][] scores;
        final Product[][] values;
        final Product[][] backScores;
        final Product[][] backValues;
        final Product[][] dValues;
        final Product[][] dKeys;
        final Product[][] dQueries;

        /** By block and strip of it, what is computed of a block on the diagonal. */
        final Product[][] stripScores;
        final Product[][] stripBackValues;
        final Product[][] stripDValues;
        final Product[][] stripDKeys;
        final Product[][] stripDQueries;

        Plan(Products products, DType type, int sequence, int heads, int dimension) {
            this.type = type;
            rounded = Rows.numbers(type) != DType.F32;
            this.sequence = sequence;
            this.heads = heads;
            this.dimension = dimension;
            width = Rows.padded(dimension);
            boolean slow = type == DType.F32 && dimension == SLOW_SUMS;
            inner = slow ? dimension + 1 : dimension;
            packed = slow ? PACKED : 0;
            qkvStride = 3 * heads * dimension;
            outStride = heads * dimension;
            queryBlocks = blocks(sequence, FORWARD_QUERIES);
            blocks = blocks(sequence, BACKWARD_BLOCK);
            groups = sequence > GROUPED_FROM ? 2 : 1;
            scores = new Product[queryBlocks][];
            values = new Product[queryBlocks][];
            for (int q = 0; q < queryBlocks; q++) {
                prepareForward(products, q);
            }
            backScores = new Product[blocks][blocks];
            backValues = new Product[blocks][blocks];
            dValues = new Product[blocks][blocks];
            dKeys = new Product[blocks][blocks];
            dQueries = new Product[blocks][blocks];
            stripScores = new Product[blocks][];
            stripBackValues = new Product[blocks][];
            stripDValues = new Product[blocks][];
            stripDKeys = new Product[blocks][];
            stripDQueries = new Product[blocks][];
            for (int k = 0; k < blocks; k++) {
                prepareDiagonal(products, k);
                for (int q = k + 1; q < blocks; q++) {
                    prepareBackward(products, k, q);
                }
            }
        }

        static int blocks(int sequence, int size) {
            return (sequence + size - 1) / size;
        }

        int forwardQueries(int q) {
            return Math.min(FORWARD_QUERIES, sequence - q * FORWARD_QUERIES);
        }

        /** Blocks of keys that a block of queries sees. */
        int forwardKeyBlocks(int q) {
            return blocks(q * FORWARD_QUERIES + forwardQueries(q), FORWARD_KEYS);
        }

        int forwardKeys(int q, int k) {
            int end = q * FORWARD_QUERIES + forwardQueries(q);
            return Math.min(FORWARD_KEYS, end - k * FORWARD_KEYS);
        }

        int backwardSize(int block) {
            return Math.min(BACKWARD_BLOCK, sequence - block * BACKWARD_BLOCK);
        }

        private void prepareForward(Products products, int q) {
            int rows = forwardQueries(q);
            int count = forwardKeyBlocks(q);
            scores[q] = new Product[count];
            values[q] = new Product[count];
            for (int k = 0; k < count; k++) {
                int keys = forwardKeys(q, k);
                scores[q][k] = products.block(overDimension(rows, keys, qkvStride, FORWARD_KEYS));
                values[q][k] = products.block(new MatmulShape(rows, dimension, keys, false, false,
                        tileStride(FORWARD_KEYS), qkvStride, width, type, DType.F32, k > 0,
                        false));
            }
        }

        private void prepareBackward(Products products, int k, int q) {
            int keys = backwardSize(k);
            int queries = backwardSize(q);
            backScores[k][q] =
                    products.block(overDimension(keys, queries, qkvStride, BACKWARD_BLOCK));
            backValues[k][q] =
                    products.block(overDimension(keys, queries, outStride, BACKWARD_BLOCK));
            dValues[k][q] = products.block(new MatmulShape(keys, dimension, queries, false, false,
                    tileStride(BACKWARD_BLOCK), outStride, width, type, DType.F32, true, false));
            dKeys[k][q] = products.block(new MatmulShape(keys, dimension, queries, false, false,
                    tileStride(BACKWARD_BLOCK), qkvStride, width, type, DType.F32, true, false));
            dQueries[k][q] = products.block(new MatmulShape(queries, dimension, keys, true, false,
                    tileStride(BACKWARD_BLOCK), qkvStride, width, type, DType.F32, k >= groups,
                    false));
        }

        private void prepareDiagonal(Products products, int k) {
            int size = backwardSize(k);
            int strips = Math.max(1, size / BACKWARD_STRIP);
            stripScores[k] = new Product[strips];
            stripBackValues[k] = new Product[strips];
            stripDValues[k] = new Product[strips];
            stripDKeys[k] = new Product[strips];
            stripDQueries[k] = new Product[strips];
            for (int s = 0; s < strips; s++) {
                int keys = stripSize(k, s);
                int queries = size - s * BACKWARD_STRIP;
                stripScores[k][s] =
                        products.block(overDimension(keys, queries, qkvStride, BACKWARD_BLOCK));
                stripBackValues[k][s] =
                        products.block(overDimension(keys, queries, outStride, BACKWARD_BLOCK));
                stripDValues[k][s] = products.block(new MatmulShape(keys, dimension, queries, false,
                        false, tileStride(BACKWARD_BLOCK), outStride, width, type, DType.F32, false,
                        false));
                stripDKeys[k][s] = products.block(new MatmulShape(keys, dimension, queries, false,
                        false, tileStride(BACKWARD_BLOCK), qkvStride, width, type, DType.F32, false,
                        false));
                stripDQueries[k][s] = products.block(new MatmulShape(keys, dimension,
                        s * BACKWARD_STRIP + keys, true, false, tileStride(BACKWARD_BLOCK),
                        qkvStride, width, type, DType.F32, k >= groups, false));
            }
        }

        /** Keys of a strip, or queries that see its keys and no later ones. */
        int stripSize(int k, int s) {
            return s + 1 < stripScores[k].length
                    ? BACKWARD_STRIP : backwardSize(k) - s * BACKWARD_STRIP;
        }

        /** Rows of queries, keys, values or gradients times others, transposed. */
        private MatmulShape overDimension(int rows, int columns, int strideB, int strideOut) {
            return new MatmulShape(rows, columns, inner, false, true,
                    packed > 0 ? packed : qkvStride, packed > 0 ? packed : strideB, strideOut,
                    type, DType.F32, false, false);
        }

        /** Elements between rows of a tile of F32 in whose place narrower elements lie. */
        int tileStride(int columns) {
            return columns * Float.BYTES / type.bytes();
        }

        /** Bytes of packed rows; 0 where rows are used as they lie. */
        long packedBytes(int rows) {
            return 4L * rows * packed;
        }

        /** Where {@code rows} rows are to be read: at {@code to}, if they are to be packed there. */
        long pack(long to, long from, int rows, int stride) {
            if (packed == 0) {
                return from;
            }
            FloatVector zero = FloatVector.zero(F);
            for (int row = 0; row < rows; row++) {
                long target = to + 4L * row * PACKED;
                long source = from + 4L * row * stride;
                for (int i = 0; i < SLOW_SUMS; i += L) {
                    fromMemorySegment(F, ALL, source + 4L * i, ORDER)
                            .intoMemorySegment(ALL, target + 4L * i, ORDER);
                }
                for (int i = SLOW_SUMS; i < PACKED; i += L) {
                    zero.intoMemorySegment(ALL, target + 4L * i, ORDER);
                }
            }
            return to;
        }
    }
}
