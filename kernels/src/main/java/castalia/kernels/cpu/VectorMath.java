package castalia.kernels.cpu;

import static castalia.kernels.cpu.Memory.ALL;
import static castalia.kernels.cpu.Memory.ORDER;
import static jdk.incubator.vector.FloatVector.broadcast;
import static jdk.incubator.vector.FloatVector.fromMemorySegment;

import jdk.incubator.vector.FloatVector;
import jdk.incubator.vector.IntVector;
import jdk.incubator.vector.LongVector;
import jdk.incubator.vector.ShortVector;
import jdk.incubator.vector.VectorOperators;
import jdk.incubator.vector.VectorShape;
import jdk.incubator.vector.VectorSpecies;

/**
 * Vector types and elementary functions.
 *
 * <p>Kernels call the vector API directly and pass no vectors to methods of their own: those of the
 * API are always inlined, our own are not once a compilation has grown large, and a vector that
 * crosses a call is an object on the heap. Everything is made of IEEE additions, multiplications,
 * divisions, fused multiply-adds and bit operations per lane, so a value does not depend on the
 * vector width or on whether the code is compiled yet. Polynomials were fitted for this project;
 * each method states its error.
 */
final class VectorMath {

    /** Floats of the widest vector, 16 or 8. */
    static final VectorSpecies<Float> F = FloatVector.SPECIES_PREFERRED.length() >= 16
            ? FloatVector.SPECIES_512
            : FloatVector.SPECIES_256;
    static final VectorSpecies<Integer> I = IntVector.SPECIES_PREFERRED.length() >= 16
            ? IntVector.SPECIES_512
            : IntVector.SPECIES_256;
    static final VectorSpecies<Long> J = F.length() == 16
            ? LongVector.SPECIES_512
            : LongVector.SPECIES_256;
    static final VectorSpecies<Short> S = VectorSpecies.of(
            short.class, F.length() == 16 ? VectorShape.S_256_BIT : VectorShape.S_128_BIT);

    /** Lanes of a vector. */
    static final int L = F.length();

    /** Bytes of a vector of floats. */
    static final int VB = L * Float.BYTES;

    /** Whether one vector holds the 16 lanes that sums are defined over. */
    static final boolean WIDE = L == 16;

    static final float LOG2_E = 1.442695f;
    static final float LN2_HIGH = 0.6933594f;
    static final float LN2_LOW = -2.1219444e-4f;
    static final float ROUND = 12582912f;
    static final float EXP_MIN = -87f;
    static final float EXP_MAX = 88f;
    static final int ONE_BITS = 0x3f800000;
    static final float EXP_2 = 0.49999994f;
    static final float EXP_3 = 0.1666652f;
    static final float EXP_4 = 0.041668393f;
    static final float EXP_5 = 0.008368781f;
    static final float EXP_6 = 0.0013814467f;

    private VectorMath() {}

    /**
     * The exponential, to 1.5 units in the last place; 0 below -87, its value at 88 above that. A
     * NaN stays one. Kernels repeat these steps on vectors, with the same bits: a vector that is given to
     * a method is an object wherever the method is not inlined.
     */
    static float exp(float x) {
        float y = x > EXP_MAX ? EXP_MAX : x;
        float shifted = Math.fma(y, LOG2_E, ROUND);
        float n = shifted - ROUND;
        float r = Math.fma(n, -LN2_HIGH, y);
        r = Math.fma(n, -LN2_LOW, r);
        float p = Math.fma(r, EXP_6, EXP_5);
        p = Math.fma(p, r, EXP_4);
        p = Math.fma(p, r, EXP_3);
        p = Math.fma(p, r, EXP_2);
        p = Math.fma(p, r * r, r) + 1f;
        float scale = Float.intBitsToFloat((Float.floatToRawIntBits(shifted) << 23) + ONE_BITS);
        return x < EXP_MIN ? 0f : p * scale;
    }

    /** The sum of 16 lanes at an address by the canonical tree: neighbours first. */
    static float fold(long lanes) {
        float a = (Memory.f32(lanes) + Memory.f32(lanes + 4))
                + (Memory.f32(lanes + 8) + Memory.f32(lanes + 12));
        float b = (Memory.f32(lanes + 16) + Memory.f32(lanes + 20))
                + (Memory.f32(lanes + 24) + Memory.f32(lanes + 28));
        float c = (Memory.f32(lanes + 32) + Memory.f32(lanes + 36))
                + (Memory.f32(lanes + 40) + Memory.f32(lanes + 44));
        float d = (Memory.f32(lanes + 48) + Memory.f32(lanes + 52))
                + (Memory.f32(lanes + 56) + Memory.f32(lanes + 60));
        return (a + b) + (c + d);
    }

    /**
     * The largest element, where a NaN that is not among the first of a vector is never the largest.
     * The number of elements is a multiple of 16. Four chains hide the latency of a comparison.
     */
    static float largest(long x, int elements) {
        FloatVector a = fromMemorySegment(F, ALL, x, ORDER);
        FloatVector b = a;
        FloatVector c = a;
        FloatVector d = a;
        int whole = elements / (4 * L) * (4 * L);
        for (int i = 0; i < whole; i += 4 * L) {
            FloatVector v = fromMemorySegment(F, ALL, x + 4L * i, ORDER);
            a = a.blend(v, v.compare(VectorOperators.GT, a));
            v = fromMemorySegment(F, ALL, x + 4L * i + VB, ORDER);
            b = b.blend(v, v.compare(VectorOperators.GT, b));
            v = fromMemorySegment(F, ALL, x + 4L * i + 2L * VB, ORDER);
            c = c.blend(v, v.compare(VectorOperators.GT, c));
            v = fromMemorySegment(F, ALL, x + 4L * i + 3L * VB, ORDER);
            d = d.blend(v, v.compare(VectorOperators.GT, d));
        }
        for (int i = whole; i < elements; i += L) {
            FloatVector v = fromMemorySegment(F, ALL, x + 4L * i, ORDER);
            a = a.blend(v, v.compare(VectorOperators.GT, a));
        }
        a = a.blend(b, b.compare(VectorOperators.GT, a));
        c = c.blend(d, d.compare(VectorOperators.GT, c));
        a = a.blend(c, c.compare(VectorOperators.GT, a));
        return fromOrdered(a.reinterpretAsInts()
                .lanewise(VectorOperators.XOR, a.reinterpretAsInts()
                        .lanewise(VectorOperators.ASHR, 31).and(Integer.MAX_VALUE))
                .reduceLanes(VectorOperators.MAX));
    }

    /** The float whose bits, all but the sign turned over where it is set, compare like it. */
    static float fromOrdered(int ordered) {
        return Float.intBitsToFloat(ordered ^ (ordered >> 31 & Integer.MAX_VALUE));
    }

    /**
     * Replaces x by {@code exp((x - max) * scale)} and leaves the sums of 16 lanes at
     * {@code lanes}: lane l holds elements l, l + 16, ...; the number of elements is a multiple of
     * 16, and none is larger than max, so that no exponent is held back. Vectors of 8 take the row in
     * two sweeps.
     */
    static void exponentials(long x, float max, float scale, int elements, long lanes) {
        for (int lane = 0; lane < 16; lane += L) {
            FloatVector sum = FloatVector.zero(F);
            for (int i = lane; i < elements; i += 16) {
                FloatVector v = fromMemorySegment(F, ALL, x + 4L * i, ORDER).sub(max).mul(scale);
                FloatVector shifted = v.fma(broadcast(F, LOG2_E), broadcast(F, ROUND));
                FloatVector n = shifted.sub(ROUND);
                FloatVector r = n.fma(broadcast(F, -LN2_HIGH), v);
                r = n.fma(broadcast(F, -LN2_LOW), r);
                FloatVector p = r.fma(broadcast(F, EXP_6), broadcast(F, EXP_5));
                p = p.fma(r, broadcast(F, EXP_4));
                p = p.fma(r, broadcast(F, EXP_3));
                p = p.fma(r, broadcast(F, EXP_2));
                p = p.fma(r.mul(r), r).add(1f);
                FloatVector power = shifted.reinterpretAsInts()
                        .lanewise(VectorOperators.LSHL, 23)
                        .add(ONE_BITS)
                        .reinterpretAsFloats();
                FloatVector e = p.mul(power)
                        .blend(0f, v.compare(VectorOperators.LT, EXP_MIN));
                e.intoMemorySegment(ALL, x + 4L * i, ORDER);
                sum = sum.add(e);
            }
            sum.intoMemorySegment(ALL, lanes + 4L * lane, ORDER);
        }
    }

    /**
     * Does what {@link #exponentials} does and returns the largest of a row of as many elements,
     * as {@link #largest} would: one waits for memory and the other computes.
     */
    static float exponentialsAhead(
            long x, float max, float scale, int elements, long lanes, long next) {
        FloatVector a = fromMemorySegment(F, ALL, next, ORDER);
        for (int lane = 0; lane < 16; lane += L) {
            FloatVector sum = FloatVector.zero(F);
            for (int i = lane; i < elements; i += 16) {
                FloatVector y = fromMemorySegment(F, ALL, next + 4L * i, ORDER);
                FloatVector v = fromMemorySegment(F, ALL, x + 4L * i, ORDER).sub(max).mul(scale);
                a = a.blend(y, y.compare(VectorOperators.GT, a));
                FloatVector shifted = v.fma(broadcast(F, LOG2_E), broadcast(F, ROUND));
                FloatVector n = shifted.sub(ROUND);
                FloatVector r = n.fma(broadcast(F, -LN2_HIGH), v);
                r = n.fma(broadcast(F, -LN2_LOW), r);
                FloatVector p = r.fma(broadcast(F, EXP_6), broadcast(F, EXP_5));
                p = p.fma(r, broadcast(F, EXP_4));
                p = p.fma(r, broadcast(F, EXP_3));
                p = p.fma(r, broadcast(F, EXP_2));
                p = p.fma(r.mul(r), r).add(1f);
                FloatVector power = shifted.reinterpretAsInts()
                        .lanewise(VectorOperators.LSHL, 23)
                        .add(ONE_BITS)
                        .reinterpretAsFloats();
                FloatVector e = p.mul(power)
                        .blend(0f, v.compare(VectorOperators.LT, EXP_MIN));
                e.intoMemorySegment(ALL, x + 4L * i, ORDER);
                sum = sum.add(e);
            }
            sum.intoMemorySegment(ALL, lanes + 4L * lane, ORDER);
        }
        return fromOrdered(a.reinterpretAsInts()
                .lanewise(VectorOperators.XOR, a.reinterpretAsInts()
                        .lanewise(VectorOperators.ASHR, 31).and(Integer.MAX_VALUE))
                .reduceLanes(VectorOperators.MAX));
    }

    /**
     * Does what {@link #exponentialsAhead} does and leaves the exponentials rounded to BF16, from x
     * on; the sums are of the unrounded ones. For vectors of 16 lanes. A NaN of x is one of BF16, whose
     * lower bits are 0, and so stays one without a check.
     */
    static float roundedExponentialsAhead(
            long x, float max, float scale, int elements, long lanes, long next) {
        FloatVector a = fromMemorySegment(F, ALL, next, ORDER);
        FloatVector sum = FloatVector.zero(F);
        for (int i = 0; i < elements; i += L) {
            FloatVector y = fromMemorySegment(F, ALL, next + 4L * i, ORDER);
            FloatVector v = fromMemorySegment(F, ALL, x + 4L * i, ORDER).sub(max).mul(scale);
            a = a.blend(y, y.compare(VectorOperators.GT, a));
            FloatVector shifted = v.fma(broadcast(F, LOG2_E), broadcast(F, ROUND));
            FloatVector n = shifted.sub(ROUND);
            FloatVector r = n.fma(broadcast(F, -LN2_HIGH), v);
            r = n.fma(broadcast(F, -LN2_LOW), r);
            FloatVector p = r.fma(broadcast(F, EXP_6), broadcast(F, EXP_5));
            p = p.fma(r, broadcast(F, EXP_4));
            p = p.fma(r, broadcast(F, EXP_3));
            p = p.fma(r, broadcast(F, EXP_2));
            p = p.fma(r.mul(r), r).add(1f);
            FloatVector power = shifted.reinterpretAsInts()
                    .lanewise(VectorOperators.LSHL, 23)
                    .add(ONE_BITS)
                    .reinterpretAsFloats();
            FloatVector e = p.mul(power).blend(0f, v.compare(VectorOperators.LT, EXP_MIN));
            sum = sum.add(e);
            IntVector bits = e.reinterpretAsInts();
            IntVector upper = bits.lanewise(VectorOperators.LSHR, 16);
            IntVector rounded = bits.add(upper.and(1)).add(0x7fff)
                    .lanewise(VectorOperators.LSHR, 16);
            ((ShortVector) rounded.convertShape(VectorOperators.I2S, S, 0))
                    .intoMemorySegment(ALL, x + 2L * i, ORDER);
        }
        sum.intoMemorySegment(ALL, lanes, ORDER);
        return fromOrdered(a.reinterpretAsInts()
                .lanewise(VectorOperators.XOR, a.reinterpretAsInts()
                        .lanewise(VectorOperators.ASHR, 31).and(Integer.MAX_VALUE))
                .reduceLanes(VectorOperators.MAX));
    }
}
