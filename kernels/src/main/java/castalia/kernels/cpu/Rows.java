package castalia.kernels.cpu;

import static castalia.kernels.cpu.Memory.ALL;
import static castalia.kernels.cpu.Memory.ORDER;
import static castalia.kernels.cpu.VectorMath.F;
import static castalia.kernels.cpu.VectorMath.I;
import static castalia.kernels.cpu.VectorMath.L;
import static castalia.kernels.cpu.VectorMath.S;
import static jdk.incubator.vector.FloatVector.fromMemorySegment;

import castalia.kernels.DType;
import jdk.incubator.vector.FloatVector;
import jdk.incubator.vector.IntVector;
import jdk.incubator.vector.ShortVector;
import jdk.incubator.vector.VectorOperators;

/**
 * Lets row kernels see one kind of row: F32, with a number of elements that is a multiple of 16. A
 * row that is so already is used in place; any other is copied into working memory, widened and
 * padded with zeros, and results are copied or rounded back.
 */
final class Rows {

    private Rows() {}

    /** Elements rounded up to whole groups of 16. */
    static int padded(int elements) {
        return (elements + 15) & -16;
    }

    /** Whether kernels can read and write rows of this type and length in place. */
    static boolean direct(DType type, int elements) {
        return type == DType.F32 && (elements & 15) == 0;
    }

    /** The type itself; refused unless it is one that kernels compute in. */
    static DType numbers(DType type) {
        return switch (type) {
            case F32, BF16, F16 -> type;
            case I32, F64 -> throw new IllegalArgumentException("a kernel over " + type);
        };
    }

    /** A row's readable address: its own, or that of a copy at {@code work}. */
    static long read(long address, DType type, int elements, long work) {
        if (direct(type, elements)) {
            return address;
        }
        load(type, work, address, elements);
        pad(work, elements);
        return work;
    }

    /** Where a result row is to be written: {@link #written} brings it to its place. */
    static long write(long address, DType type, int elements, long work) {
        return direct(type, elements) ? address : work;
    }

    /** Ends what {@link #write} began. */
    static void written(long address, DType type, int elements, long work) {
        if (direct(type, elements)) {
            return;
        }
        round(type, address, work, elements);
    }

    /** Elements of a type as F32, exactly. */
    static void load(DType type, long to, long from, int elements) {
        if (type == DType.F32) {
            copy(to, from, elements);
        } else if (type == DType.BF16) {
            widen(to, from, elements);
        } else {
            widenHalf(to, from, elements);
        }
    }

    /** F32 elements, each rounded once to a type. */
    static void round(DType type, long to, long from, int elements) {
        if (type == DType.F32) {
            copy(to, from, elements);
        } else if (type == DType.BF16) {
            narrow(to, from, elements);
        } else {
            narrowHalf(to, from, elements);
        }
    }

    static void pad(long row, int elements) {
        for (int i = elements; i < padded(elements); i++) {
            Memory.f32(row + 4L * i, 0f);
        }
    }

    static void copy(long to, long from, int elements) {
        int i = 0;
        for (; i + L <= elements; i += L) {
            fromMemorySegment(F, ALL, from + 4L * i, ORDER)
                    .intoMemorySegment(ALL, to + 4L * i, ORDER);
        }
        for (; i < elements; i++) {
            Memory.i32(to + 4L * i, Memory.i32(from + 4L * i));
        }
    }

    static void widen(long to, long from, int elements) {
        int i = 0;
        for (; i + L <= elements; i += L) {
            ((IntVector) ShortVector.fromMemorySegment(S, ALL, from + 2L * i, ORDER)
                            .convertShape(VectorOperators.ZERO_EXTEND_S2I, I, 0))
                    .lanewise(VectorOperators.LSHL, 16)
                    .reinterpretAsFloats()
                    .intoMemorySegment(ALL, to + 4L * i, ORDER);
        }
        for (; i < elements; i++) {
            Memory.f32(to + 4L * i, Memory.bf16(from + 2L * i));
        }
    }

    static void narrow(long to, long from, int elements) {
        int i = 0;
        for (; i + L <= elements; i += L) {
            IntVector bits = fromMemorySegment(F, ALL, from + 4L * i, ORDER).reinterpretAsInts();
            IntVector upper = bits.lanewise(VectorOperators.LSHR, 16);
            IntVector rounded = bits.add(upper.and(1)).add(0x7fff)
                    .lanewise(VectorOperators.LSHR, 16)
                    .blend(upper.or(0x40),
                            bits.and(0x7fffffff).compare(VectorOperators.GT, 0x7f800000));
            ((ShortVector) rounded.convertShape(VectorOperators.I2S, S, 0))
                    .intoMemorySegment(ALL, to + 2L * i, ORDER);
        }
        for (; i < elements; i++) {
            Memory.bf16(to + 2L * i, Memory.f32(from + 4L * i));
        }
    }

    /** Binary16 to F32, exactly; no operand of the arithmetic is subnormal. */
    static void widenHalf(long to, long from, int elements) {
        int i = 0;
        for (; i + L <= elements; i += L) {
            IntVector half = (IntVector) ShortVector.fromMemorySegment(S, ALL, from + 2L * i, ORDER)
                    .convertShape(VectorOperators.ZERO_EXTEND_S2I, I, 0);
            IntVector moved = half.and(0x7fff).lanewise(VectorOperators.LSHL, 13);
            IntVector rebased = moved.add(Memory.HALF_REBASE);
            IntVector small = rebased.add(1 << 23).reinterpretAsFloats()
                    .sub(Memory.HALF_MIN_NORMAL).reinterpretAsInts();
            rebased.blend(small, moved.compare(VectorOperators.LT, Memory.HALF_NORMAL))
                    .blend(rebased.add(Memory.HALF_REBASE),
                            moved.compare(VectorOperators.GE, Memory.HALF_INFINITE))
                    .or(half.and(0x8000).lanewise(VectorOperators.LSHL, 16))
                    .reinterpretAsFloats()
                    .intoMemorySegment(ALL, to + 4L * i, ORDER);
        }
        for (; i < elements; i++) {
            Memory.f32(to + 4L * i, Memory.f16(from + 2L * i));
        }
    }

    /** F32 to binary16, nearest even; subnormals are kept, a NaN stays one. */
    static void narrowHalf(long to, long from, int elements) {
        int i = 0;
        for (; i + L <= elements; i += L) {
            IntVector bits = fromMemorySegment(F, ALL, from + 4L * i, ORDER).reinterpretAsInts();
            IntVector size = bits.and(0x7fffffff);
            IntVector upper = size.lanewise(VectorOperators.LSHR, 13);
            IntVector normal = size.add(upper.and(1)).add(Memory.HALF_ROUNDING)
                    .lanewise(VectorOperators.LSHR, 13);
            IntVector small = size.reinterpretAsFloats().add(0.5f).reinterpretAsInts()
                    .sub(Memory.ONE_HALF_BITS);
            IntVector rounded = normal
                    .blend(small, size.compare(VectorOperators.LT, Memory.HALF_MIN_NORMAL_BITS))
                    .blend(0x7c00, size.compare(VectorOperators.GE, Memory.HALF_OVERFLOW_BITS))
                    .blend(upper.and(0x3ff).or(0x7e00),
                            size.compare(VectorOperators.GT, 0x7f800000))
                    .or(bits.lanewise(VectorOperators.LSHR, 16).and(0x8000));
            ((ShortVector) rounded.convertShape(VectorOperators.I2S, S, 0))
                    .intoMemorySegment(ALL, to + 2L * i, ORDER);
        }
        for (; i < elements; i++) {
            Memory.f16(to + 2L * i, Memory.f32(from + 4L * i));
        }
    }

    static void zero(long to, long bytes) {
        FloatVector zero = FloatVector.zero(F);
        long at = 0;
        for (; at + VectorMath.VB <= bytes; at += VectorMath.VB) {
            zero.intoMemorySegment(ALL, to + at, ORDER);
        }
        for (; at + 2 <= bytes; at += 2) {
            Memory.i16(to + at, (short) 0);
        }
    }
}
