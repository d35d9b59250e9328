package castalia.kernels.check;

import castalia.kernels.Buffer;
import castalia.kernels.DType;
import castalia.kernels.MatmulShape;
import org.jspecify.annotations.Nullable;

/** Refuses buffers that do not fit: too short, of another type, closed, overlapping. */
final class Check {

    private Check() {}

    /** F32, BF16 or F16. */
    static void numbers(String operation, String name, Buffer buffer, long elements) {
        if (buffer.type() == DType.I32 || buffer.type() == DType.F64) {
            throw type(operation, name, buffer, "F32, BF16 or F16");
        }
        room(operation, name, buffer, elements);
    }

    static void f32(String operation, String name, Buffer buffer, long elements) {
        typed(operation, name, buffer, DType.F32, elements);
    }

    static void typed(String operation, String name, Buffer buffer, DType type, long elements) {
        if (buffer.type() != type) {
            throw type(operation, name, buffer, type.name());
        }
        room(operation, name, buffer, elements);
    }

    static void sameType(String operation, String first, Buffer a, String second, Buffer b) {
        if (a.type() != b.type()) {
            throw new IllegalArgumentException(operation + ": " + first + " is " + a.type() + ", "
                    + second + " is " + b.type() + "; they must be of one type");
        }
    }

    /** Sizes that are at least 1. */
    static void positive(String operation, String name, long value) {
        if (value < 1) {
            throw new IllegalArgumentException(
                    operation + ": " + name + " is " + value + "; at least 1 is possible");
        }
    }

    static void count(String operation, long value) {
        if (value < 0) {
            throw new IllegalArgumentException(operation + ": a count of " + value);
        }
    }

    /** As many of one argument as of another. */
    static void as(String operation, String name, long found, long wanted) {
        if (found != wanted) {
            throw new IllegalArgumentException(
                    operation + ": " + found + " of " + name + " where " + wanted + " are needed");
        }
    }

    /** Refuses an output that shares memory with an input. */
    static void apart(String operation, String output, Buffer out, String input, Buffer in) {
        long a = out.segment().address();
        long b = in.segment().address();
        if (a < b + in.segment().byteSize() && b < a + out.segment().byteSize()
                && in.elements() > 0 && out.elements() > 0) {
            throw new IllegalArgumentException(
                    operation + ": " + output + " shares memory with " + input);
        }
    }

    static void product(
            MatmulShape shape, Buffer out, Buffer a, Buffer b, @Nullable Buffer bias) {
        typed("matmul", "a", a, shape.input(), shape.transposeA()
                ? extent(shape.k(), shape.strideA(), shape.m())
                : extent(shape.m(), shape.strideA(), shape.k()));
        typed("matmul", "b", b, shape.input(), shape.transposeB()
                ? extent(shape.n(), shape.strideB(), shape.k())
                : extent(shape.k(), shape.strideB(), shape.n()));
        typed("matmul", "out", out, shape.output(),
                extent(shape.m(), shape.strideOut(), shape.n()));
        apart("matmul", "out", out, "a", a);
        apart("matmul", "out", out, "b", b);
        if (shape.bias()) {
            if (bias == null) {
                throw new IllegalArgumentException(
                        "matmul: the shape has a bias, none was given");
            }
            typed("matmul", "bias", bias, shape.input(), shape.n());
        }
    }

    /** A product whose result lies beside a GELU's other side: {@code out} and {@code x} (M, N). */
    static void besideGelu(
            String operation, MatmulShape shape, boolean bias, Buffer out, Buffer x) {
        if (shape.bias() != bias || shape.accumulate() || shape.strideOut() != shape.n()) {
            throw new IllegalArgumentException(operation + ": of a product " + shape.inWords());
        }
        typed(operation, "x", x, shape.output(), (long) shape.m() * shape.n());
        apart(operation, "the result", out, "x", x);
    }

    private static long extent(int rows, int stride, int columns) {
        return (rows - 1L) * stride + columns;
    }

    private static void room(String operation, String name, Buffer buffer, long elements) {
        if (buffer.elements() < elements) {
            throw new IllegalArgumentException(operation + ": " + name + " holds "
                    + buffer.elements() + " elements, " + elements + " are needed");
        }
        if (!buffer.segment().isNative()) {
            throw new IllegalArgumentException(
                    operation + ": " + name + " lies on the Java heap, not in an arena");
        }
        if (!buffer.segment().scope().isAlive()) {
            throw new IllegalStateException(
                    operation + ": the arena of " + name + " is closed");
        }
    }

    private static IllegalArgumentException type(
            String operation, String name, Buffer buffer, String wanted) {
        return new IllegalArgumentException(
                operation + ": " + name + " is " + buffer.type() + ", " + wanted + " is needed");
    }
}
