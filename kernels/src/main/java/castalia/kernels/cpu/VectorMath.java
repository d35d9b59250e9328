package castalia.kernels.cpu;

import jdk.incubator.vector.FloatVector;
import jdk.incubator.vector.IntVector;
import jdk.incubator.vector.LongVector;
import jdk.incubator.vector.ShortVector;
import jdk.incubator.vector.VectorOperators;
import jdk.incubator.vector.VectorShape;
import jdk.incubator.vector.VectorSpecies;

/**
 * Vector types and elementary functions. Everything is made of IEEE additions, multiplications,
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

    private static final float LOG2_E = 1.442695f;
    private static final float LN2_HIGH = 0.6933594f;
    private static final float LN2_LOW = -2.1219444e-4f;
    private static final float ROUND = 12582912f;
    private static final float EXP_MIN = -87f;
    private static final float EXP_MAX = 88f;
    private static final int ONE_BITS = 0x3f800000;

    private VectorMath() {}

    static FloatVector load(long address) {
        return FloatVector.fromMemorySegment(F, Memory.ALL, address, Memory.ORDER);
    }

    static void store(long address, FloatVector value) {
        value.intoMemorySegment(Memory.ALL, address, Memory.ORDER);
    }

    static FloatVector all(float value) {
        return FloatVector.broadcast(F, value);
    }

    /** Loads bfloat16 values. */
    static FloatVector loadBf16(long address) {
        return ((IntVector) ShortVector.fromMemorySegment(S, Memory.ALL, address, Memory.ORDER)
                        .convertShape(VectorOperators.ZERO_EXTEND_S2I, I, 0))
                .lanewise(VectorOperators.LSHL, 16)
                .reinterpretAsFloats();
    }

    /** Rounds to bfloat16, nearest even; a NaN stays one. */
    static void storeBf16(long address, FloatVector value) {
        IntVector bits = value.reinterpretAsInts();
        IntVector upper = bits.lanewise(VectorOperators.LSHR, 16);
        IntVector rounded = bits.add(upper.and(1)).add(0x7fff)
                .lanewise(VectorOperators.LSHR, 16)
                .blend(upper.or(0x40),
                        bits.and(0x7fffffff).compare(VectorOperators.GT, 0x7f800000));
        ((ShortVector) rounded.convertShape(VectorOperators.I2S, S, 0))
                .intoMemorySegment(Memory.ALL, address, Memory.ORDER);
    }

    static FloatVector max(FloatVector a, FloatVector b) {
        return a.blend(b, b.compare(VectorOperators.GT, a));
    }

    /**
     * The exponential, to 1.5 units in the last place; 0 below -87, its value at 88 above that. A
     * NaN stays one.
     */
    static FloatVector exp(FloatVector x) {
        FloatVector y = x.blend(EXP_MAX, x.compare(VectorOperators.GT, EXP_MAX));
        FloatVector shifted = y.fma(all(LOG2_E), all(ROUND));
        FloatVector n = shifted.sub(ROUND);
        FloatVector r = n.fma(all(-LN2_HIGH), y);
        r = n.fma(all(-LN2_LOW), r);
        FloatVector p = all(0.0013814467f);
        p = p.fma(r, all(0.008368781f));
        p = p.fma(r, all(0.041668393f));
        p = p.fma(r, all(0.1666652f));
        p = p.fma(r, all(0.49999994f));
        p = p.fma(r.mul(r), r).add(1f);
        FloatVector scale = shifted.reinterpretAsInts()
                .lanewise(VectorOperators.LSHL, 23)
                .add(ONE_BITS)
                .reinterpretAsFloats();
        return p.mul(scale).blend(0f, x.compare(VectorOperators.LT, EXP_MIN));
    }

    /** {@link #exp(FloatVector)} of one value, the same bits. */
    static float exp(float x) {
        float y = x > EXP_MAX ? EXP_MAX : x;
        float shifted = Math.fma(y, LOG2_E, ROUND);
        float n = shifted - ROUND;
        float r = Math.fma(n, -LN2_HIGH, y);
        r = Math.fma(n, -LN2_LOW, r);
        float p = 0.0013814467f;
        p = Math.fma(p, r, 0.008368781f);
        p = Math.fma(p, r, 0.041668393f);
        p = Math.fma(p, r, 0.1666652f);
        p = Math.fma(p, r, 0.49999994f);
        p = Math.fma(p, r * r, r) + 1f;
        float scale = Float.intBitsToFloat((Float.floatToRawIntBits(shifted) << 23) + ONE_BITS);
        return x < EXP_MIN ? 0f : p * scale;
    }

    /**
     * The tail of the normal distribution beyond {@code t >= 0}, given
     * {@code e = exp(-t * t / 2)}: {@code e * P(t) / Q(t)}, relative error below 4e-7 plus that
     * of {@code e}.
     */
    static FloatVector normalTail(FloatVector t, FloatVector e) {
        FloatVector p = all(0.004077594f);
        p = p.fma(t, all(0.040372446f));
        p = p.fma(t, all(0.18246152f));
        p = p.fma(t, all(0.43725047f));
        p = p.fma(t, all(0.5f));
        FloatVector q = all(0.010220883f);
        q = q.fma(t, all(0.10120552f));
        q = q.fma(t, all(0.46742827f));
        q = q.fma(t, all(1.1992894f));
        q = q.fma(t, all(1.6723859f));
        q = q.fma(t, all(1f));
        return e.mul(p).div(q);
    }

    /**
     * The sum of 16 lanes by the canonical tree: neighbours first. {@code high} holds lanes 8 to
     * 15 where a vector has 8 lanes, and is ignored where it has 16.
     *
     * @param work 64 bytes to work in
     */
    static float fold(FloatVector low, FloatVector high, long work) {
        store(work, low);
        if (!WIDE) {
            store(work + VB, high);
        }
        float a = (Memory.f32(work) + Memory.f32(work + 4))
                + (Memory.f32(work + 8) + Memory.f32(work + 12));
        float b = (Memory.f32(work + 16) + Memory.f32(work + 20))
                + (Memory.f32(work + 24) + Memory.f32(work + 28));
        float c = (Memory.f32(work + 32) + Memory.f32(work + 36))
                + (Memory.f32(work + 40) + Memory.f32(work + 44));
        float d = (Memory.f32(work + 48) + Memory.f32(work + 52))
                + (Memory.f32(work + 56) + Memory.f32(work + 60));
        return (a + b) + (c + d);
    }
}
