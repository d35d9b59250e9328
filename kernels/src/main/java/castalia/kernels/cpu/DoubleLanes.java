package castalia.kernels.cpu;

import jdk.incubator.vector.DoubleVector;
import jdk.incubator.vector.FloatVector;
import jdk.incubator.vector.VectorOperators;
import jdk.incubator.vector.VectorShape;
import jdk.incubator.vector.VectorSpecies;

/** Sums of squares over 16 lanes of fp64. A product of two widened floats is exact. */
final class DoubleLanes {

    private static final VectorSpecies<Double> D =
            VectorMath.WIDE ? DoubleVector.SPECIES_512 : DoubleVector.SPECIES_256;
    private static final VectorSpecies<Float> HALF = VectorSpecies.of(
            float.class, VectorMath.WIDE ? VectorShape.S_256_BIT : VectorShape.S_128_BIT);
    private static final int W = D.length();

    private DoubleLanes() {}

    /** Puts lane sums of {@code count} floats, a multiple of 16, into {@code lanes}. */
    static void squares(long from, long count, double[] lanes) {
        if (VectorMath.WIDE) {
            DoubleVector a = DoubleVector.zero(D);
            DoubleVector b = DoubleVector.zero(D);
            for (long i = 0; i < count; i += 16) {
                DoubleVector x = widened(from + 4 * i);
                DoubleVector y = widened(from + 4 * i + 32);
                a = a.add(x.mul(x));
                b = b.add(y.mul(y));
            }
            a.intoArray(lanes, 0);
            b.intoArray(lanes, W);
            return;
        }
        DoubleVector a = DoubleVector.zero(D);
        DoubleVector b = DoubleVector.zero(D);
        DoubleVector c = DoubleVector.zero(D);
        DoubleVector d = DoubleVector.zero(D);
        for (long i = 0; i < count; i += 16) {
            DoubleVector x = widened(from + 4 * i);
            a = a.add(x.mul(x));
            x = widened(from + 4 * i + 16);
            b = b.add(x.mul(x));
            x = widened(from + 4 * i + 32);
            c = c.add(x.mul(x));
            x = widened(from + 4 * i + 48);
            d = d.add(x.mul(x));
        }
        a.intoArray(lanes, 0);
        b.intoArray(lanes, W);
        c.intoArray(lanes, 2 * W);
        d.intoArray(lanes, 3 * W);
    }

    private static DoubleVector widened(long address) {
        return (DoubleVector) FloatVector
                .fromMemorySegment(HALF, Memory.ALL, address, Memory.ORDER)
                .convertShape(VectorOperators.F2D, D, 0);
    }
}
