package castalia.kernels.cpu;

import static castalia.kernels.cpu.Memory.ALL;
import static castalia.kernels.cpu.Memory.ORDER;

import castalia.kernels.MatmulShape;
import java.util.function.Function;
import jdk.incubator.vector.IntVector;
import jdk.incubator.vector.ShortVector;
import jdk.incubator.vector.VectorOperators;
import jdk.incubator.vector.VectorSpecies;

/**
 * A product of 16-bit operands whose first lies transposed: it is turned, then multiplied as it lies. For
 * matrix units (AMX), on which a product's own copy of such an operand takes as long as its arithmetic.
 */
final class TurnedProduct extends Product {

    /** Rows of the result, and sums, that are turned at once. */
    private static final int ROWS = 16;

    private static final int SUMS = 2 * ROWS;

    /** Columns of the result from which turning takes less time than it saves. */
    private static final int LEAST_COLUMNS = 256;

    /** Most bytes of a turned operand, of which each thread has one. */
    private static final long MOST_BYTES = 1L << 23;

    /** Values between the ends of turned rows, so that rows do not collide in the cache. */
    private static final int GAP = 32;

    /** Bytes of a line of {@link #ROWS} pairs, and of a block of as many lines. */
    private static final long LINE_BYTES = 4L * ROWS;

    private static final long BLOCK_BYTES = LINE_BYTES * ROWS;

    private static final VectorSpecies<Integer> PAIRS = IntVector.SPECIES_512;
    private static final VectorSpecies<Short> HALVES = ShortVector.SPECIES_256;
    private static final IntVector LOW = interleaved(0);
    private static final IntVector HIGH = interleaved(ROWS / 2);

    private final MatmulShape shape;
    private final Product straight;
    private final Scratch scratch;
    private final int stride;
    private final long turnedBytes;

    /**
     * A product of a shape that {@linkplain #pays pays}.
     *
     * @param products prepares that of the turned operand
     */
    TurnedProduct(MatmulShape shape, Function<MatmulShape, Product> products, Scratch scratch) {
        this.shape = shape;
        this.scratch = scratch;
        stride = shape.k() + GAP;
        turnedBytes = turnedBytes(shape);
        scratch.ensureOperands(turnedBytes + 2 * BLOCK_BYTES);
        straight = products.apply(new MatmulShape(shape.m(), shape.n(), shape.k(), false,
                shape.transposeB(), stride, shape.strideB(), shape.strideOut(), shape.input(),
                shape.output(), shape.accumulate(), shape.bias()));
    }

    /** Whether a shape is one that this is for, and gains time. */
    static boolean pays(MatmulShape shape) {
        return VectorMath.WIDE && shape.transposeA() && shape.input().bytes() == Short.BYTES
                && shape.m() % ROWS == 0 && shape.k() % SUMS == 0 && shape.n() >= LEAST_COLUMNS
                && turnedBytes(shape) <= MOST_BYTES;
    }

    private static long turnedBytes(MatmulShape shape) {
        return (long) Short.BYTES * shape.m() * (shape.k() + GAP);
    }

    @Override
    void run(int thread, long out, long a, long b, long bias) {
        long turned = scratch.operands(thread);
        for (int k = 0; k < shape.k(); k += SUMS) {
            for (int row = 0; row < shape.m(); row += ROWS) {
                turn(turned + Short.BYTES * ((long) row * stride + k), (long) Short.BYTES * stride,
                        a + Short.BYTES * ((long) k * shape.strideA() + row),
                        (long) Short.BYTES * shape.strideA(), turned + turnedBytes);
            }
        }
        straight.run(thread, out, turned, b, bias);
    }

    /**
     * Turns {@link #SUMS} lines of {@link #ROWS} values. Two lines make one of pairs; to interleave the upper
     * half of the lines with the lower four times is to transpose them.
     *
     * @param work two blocks
     */
    private static void turn(long to, long toBytes, long from, long fromBytes, long work) {
        long other = work + BLOCK_BYTES;
        for (int i = 0; i < ROWS; i++) {
            long even = from + 2L * i * fromBytes;
            ((IntVector) ShortVector.fromMemorySegment(HALVES, ALL, even + fromBytes, ORDER)
                    .convertShape(VectorOperators.ZERO_EXTEND_S2I, PAIRS, 0))
                    .lanewise(VectorOperators.LSHL, Short.SIZE)
                    .or(ShortVector.fromMemorySegment(HALVES, ALL, even, ORDER)
                            .convertShape(VectorOperators.ZERO_EXTEND_S2I, PAIRS, 0))
                    .intoMemorySegment(ALL, other + LINE_BYTES * i, ORDER);
        }
        interleave(work, LINE_BYTES, other);
        interleave(other, LINE_BYTES, work);
        interleave(work, LINE_BYTES, other);
        interleave(to, toBytes, work);
    }

    private static void interleave(long to, long toBytes, long from) {
        for (int i = 0; i < ROWS / 2; i++) {
            IntVector a = IntVector.fromMemorySegment(PAIRS, ALL, from + LINE_BYTES * i, ORDER);
            IntVector b = IntVector.fromMemorySegment(
                    PAIRS, ALL, from + LINE_BYTES * i + BLOCK_BYTES / 2, ORDER);
            LOW.selectFrom(a, b).intoMemorySegment(ALL, to + 2L * i * toBytes, ORDER);
            HIGH.selectFrom(a, b).intoMemorySegment(ALL, to + (2L * i + 1) * toBytes, ORDER);
        }
    }

    /** Where lanes come from when half of two vectors are interleaved. */
    private static IntVector interleaved(int first) {
        int[] lanes = new int[ROWS];
        for (int i = 0; i < ROWS; i++) {
            lanes[i] = first + i / 2 + (i % 2) * ROWS;
        }
        return IntVector.fromArray(PAIRS, lanes, 0);
    }
}
