package castalia.kernels.cpu;

import castalia.kernels.AdamW;
import castalia.kernels.Arena;
import castalia.kernels.Buffer;
import castalia.kernels.DType;
import castalia.kernels.DigestSum;
import castalia.kernels.Kernels;
import castalia.kernels.MatmulShape;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;

/**
 * Times every kernel at the shapes of a model's step (sequence 2048, one sequence) and adds them up
 * to a step. Run by hand:
 * {@code KernelTimings [model] [F32|BF16] [threads] [ONEDNN|JAVA] [pattern]}.
 * Not a test: it asserts nothing.
 */
final class KernelTimings {

    private static final int T = 2048;
    private static final int VOCABULARY = 50304;

    private enum Model {
        M14(128, 6, 4),
        M70(512, 6, 8),
        M160(768, 12, 12);

        final int width;
        final int layers;
        final int heads;

        Model(int width, int layers, int heads) {
            this.width = width;
            this.layers = layers;
            this.heads = heads;
        }
    }

    private final Model model;
    private final DType type;
    private final String filter;
    private final Kernels kernels;
    private final Arena arena;
    private double stepMillis;

    private KernelTimings(Model model, DType type, String filter, CpuDevice device) {
        this.model = model;
        this.type = type;
        this.filter = filter;
        kernels = device.kernels();
        arena = device.arena();
    }

    public static void main(String[] arguments) {
        Model model = Model.valueOf(arguments.length > 0 ? arguments[0] : "M70");
        DType type = DType.valueOf(arguments.length > 1 ? arguments[1] : "F32");
        int threads = arguments.length > 2 ? Integer.parseInt(arguments[2]) : 2;
        MatmulEngine engine = MatmulEngine.valueOf(arguments.length > 3 ? arguments[3] : "ONEDNN");
        String filter = arguments.length > 4 ? arguments[4] : "";
        try (CpuDevice device = new CpuDevice(
                new CpuSettings(threads, "target/natives", 16L << 30, engine))) {
            print("%s, %s, %s", model, type, device.description());
            print("%s", device.numericVersion().id());
            KernelTimings timings = new KernelTimings(model, type, filter, device);
            timings.products();
            timings.head();
            timings.rows();
            timings.attention();
            timings.state();
            print("step: %.1f ms", timings.stepMillis);
        }
    }

    @SuppressWarnings("AnnotateFormatMethod") // the annotation is not among our dependencies
    private static void print(String format, Object... arguments) {
        System.out.println(format.formatted(arguments));
    }

    private Buffer buffer(DType of, long rows, long columns) {
        Buffer buffer = arena.allocate(of, rows * columns);
        if (of == DType.I32) {
            for (long i = 0; i < buffer.elements(); i++) {
                buffer.segment().setAtIndex(
                        ValueLayout.JAVA_INT, i, (int) (i * 7919 % VOCABULARY));
            }
        } else {
            int width = 1 << 10;
            int lines = (int) Math.min(1 << 10, buffer.elements() / width);
            if (lines > 0) {
                kernels.normal(buffer, 1, 1, 1, 0, 0, width, lines, width);
                long filled = (long) lines * width;
                long bytes = filled * of.bytes();
                MemorySegment memory = buffer.segment();
                for (long at = bytes; at < memory.byteSize(); at += bytes) {
                    MemorySegment.copy(
                            memory, 0, memory, at, Math.min(bytes, memory.byteSize() - at));
                }
            } else {
                kernels.normal(buffer, 1, 1, 1, 0, 0, (int) buffer.elements(), 1,
                        (int) buffer.elements());
            }
        }
        return buffer;
    }

    /** Times a call, adds {@code perStep} calls to the step, prints milliseconds and a rate. */
    private void time(String name, double perStep, double flops, double bytes, Runnable call) {
        if (!name.matches(".*(" + filter + ").*")) {
            return;
        }
        long until = System.nanoTime() + 400_000_000L;
        int runs = 0;
        double best = Double.MAX_VALUE;
        while (System.nanoTime() < until || runs < 12) {
            long start = System.nanoTime();
            call.run();
            best = Math.min(best, (double) (System.nanoTime() - start));
            runs++;
            if (runs >= 4 && System.nanoTime() > until + 2_000_000_000L) {
                break;
            }
        }
        stepMillis += best * 1e-6 * perStep;
        print("%-28s %9.3f ms  %7.1f GFLOP/s  %6.1f GB/s   x%-4.0f %8.1f ms", name, best * 1e-6,
                flops / best, bytes / best, perStep, best * 1e-6 * perStep);
    }

    private void matmul(String name, double perStep, MatmulShape shape) {
        int aRows = shape.transposeA() ? shape.k() : shape.m();
        int bRows = shape.transposeB() ? shape.n() : shape.k();
        Buffer a = buffer(shape.input(), aRows, shape.strideA());
        Buffer b = buffer(shape.input(), bRows, shape.strideB());
        Buffer out = buffer(shape.output(), shape.m(), shape.strideOut());
        Buffer bias = buffer(shape.input(), 1, shape.n());
        time(name, perStep, (double) shape.flops(), 0,
                () -> kernels.matmul(shape, out, a, b, bias));
    }

    private void layer(String name, int n, int k, DType out) {
        int layers = model.layers;
        matmul(name + " forward", layers,
                MatmulShape.forward(T, n, k, type, out, out == type && type != DType.F32));
        matmul(name + " dx", layers, MatmulShape.inputGradient(T, n, k, type, type));
        matmul(name + " dw", layers,
                MatmulShape.weightGradient(T, n, k, type, DType.F32, true));
    }

    private void products() {
        int c = model.width;
        layer("product qkv", 3 * c, c, type);
        layer("product dense", c, c, DType.F32);
        layer("product up", 4 * c, c, type);
        layer("product down", c, 4 * c, DType.F32);
    }

    private void head() {
        int c = model.width;
        for (int rows : new int[] {128, 256, 512}) {
            double perStep = rows == 256 ? (double) T / rows : 0;
            matmul("head forward " + rows, perStep,
                    MatmulShape.forward(rows, VOCABULARY, c, type, DType.F32, false));
            matmul("head dx " + rows, perStep,
                    MatmulShape.inputGradient(rows, VOCABULARY, c, type, type));
            matmul("head dw " + rows, perStep,
                    MatmulShape.weightGradient(rows, VOCABULARY, c, type, DType.F32, true));
        }
        for (int rows : new int[] {64, 256}) {
            Buffer logits = buffer(DType.F32, rows, VOCABULARY);
            Buffer source = buffer(DType.F32, rows, VOCABULARY);
            Buffer dLogits = type == DType.F32 ? logits : buffer(type, rows, VOCABULARY);
            Buffer max = buffer(DType.F32, 1, rows);
            Buffer sum = buffer(DType.F32, 1, rows);
            Buffer target = buffer(DType.F32, 1, rows);
            Buffer factor = buffer(DType.F32, 1, rows);
            Buffer labels = buffer(DType.I32, 1, rows);
            Buffer loss = buffer(DType.F64, 1, 1);
            double perStep = rows == 256 ? (double) T / rows : 0;
            long size = (long) rows * VOCABULARY;
            kernels.cast(logits, source, size);
            time("softmax partial " + rows, perStep, 0, 8.0 * size, () -> kernels.softmaxPartial(
                    logits, max, sum, target, labels, 0, rows, VOCABULARY));
            time("softmax join " + rows, perStep, 0, 0, () -> kernels.softmaxJoin(
                    loss, new Buffer[] {factor}, new Buffer[] {max}, new Buffer[] {sum}, target, rows));
            time("softmax gradient " + rows, perStep, 0, (4.0 + dLogits.type().bytes()) * size,
                    () -> kernels.softmaxGradient(
                            dLogits, logits, max, factor, labels, 1f, 0, rows, VOCABULARY));
        }
    }

    private void rows() {
        int c = model.width;
        int layers = model.layers;
        long size = (long) T * c;
        Buffer x = buffer(type, T, c);
        Buffer y = buffer(type, T, c);
        Buffer z = buffer(type, T, c);
        Buffer partial = buffer(DType.F32, T, c);
        Buffer w = buffer(type, 1, c);
        Buffer b = buffer(type, 1, c);
        Buffer dw = buffer(DType.F32, 1, c);
        Buffer mean = buffer(DType.F32, 1, T);
        Buffer rstd = buffer(DType.F32, 1, T);
        int e = type.bytes();
        time("layer norm double", layers, 0, 3.0 * e * size,
                () -> kernels.layerNormDouble(y, z, mean, rstd, x, w, b, w, b, 1e-5f, T, c));
        time("layer norm double backward", layers, 0, 5.0 * e * size,
                () -> kernels.layerNormDoubleBackward(
                        y, dw, dw, dw, dw, y, z, z, x, mean, rstd, w, w, T, c, true));
        time("residual", layers, 0, (2.0 * e + 4) * size,
                () -> kernels.residual(y, x, new Buffer[] {partial}, b, b, 1, T, c));
        Buffer up = buffer(type, T, 4L * c);
        Buffer act = buffer(type, T, 4L * c);
        Buffer dUp = buffer(DType.F32, 1, 4L * c);
        time("gelu", layers, 0, 8.0 * e * size, () -> kernels.gelu(act, up, false, 4 * size));
        time("gelu tanh", 0, 0, 8.0 * e * size, () -> kernels.gelu(act, up, true, 4 * size));
        time("gelu backward", layers, 0, 12.0 * e * size,
                () -> kernels.geluBackward(act, act, up, false, 4 * size));
        time("bias gradient 4c", layers, 0, 4.0 * e * size,
                () -> kernels.biasGradient(dUp, up, T, 4 * c, true));
        time("bias gradient 3c", layers, 0, 3.0 * e * size,
                () -> kernels.biasGradient(dUp, up, T, 3 * c, true));
        time("bias gradient c", layers, 0, 1.0 * e * size,
                () -> kernels.biasGradient(dw, x, T, c, true));
        Buffer tokens = buffer(DType.I32, 1, T);
        Buffer table = buffer(type, VOCABULARY, c);
        Buffer dTable = buffer(DType.F32, VOCABULARY, c);
        time("embedding", 1, 0, 2.0 * e * size,
                () -> kernels.embedding(x, tokens, table, 0, T, c, VOCABULARY));
        time("embedding backward", 1, 0, 4.0 * VOCABULARY * c,
                () -> kernels.embeddingBackward(dTable, x, tokens, 0, T, c, VOCABULARY, false));
    }

    private void attention() {
        int c = model.width;
        int heads = model.heads;
        int d = c / heads;
        Buffer qkv = buffer(type, T, 3L * c);
        Buffer out = buffer(type, T, c);
        Buffer dOut = buffer(type, T, c);
        Buffer dQkv = buffer(type, T, 3L * c);
        Buffer lse = buffer(DType.F32, heads, T);
        Buffer table = buffer(DType.F32, T, d / 4);
        double flops = 2.0 * T * T * c;
        time("rotary", 2.0 * model.layers, 0, 4.0 * type.bytes() * T * c / 4,
                () -> kernels.rotary(qkv, table, false, 1, T, heads, d, d / 4));
        kernels.cast(qkv, buffer(type, T, 3L * c), 3L * T * c);
        time("attention", model.layers, flops, 0,
                () -> kernels.attention(out, lse, qkv, 1, T, heads, d));
        time("attention backward", model.layers, 2.5 * flops, 0,
                () -> kernels.attentionBackward(dQkv, dOut, out, lse, qkv, 1, T, heads, d));
    }

    private void state() {
        long n = 2L * VOCABULARY * model.width + 12L * model.layers * model.width * model.width;
        Buffer w = buffer(DType.F32, 1, n);
        Buffer m = buffer(DType.F32, 1, n);
        Buffer v = buffer(DType.F32, 1, n);
        kernels.fill(v, 0.1f, n);
        Buffer g = buffer(DType.F32, 1, n);
        Buffer compute = type == DType.F32 ? w : buffer(type, 1, n);
        DigestSum sum = new DigestSum();
        AdamW scalars = new AdamW(1f, 1e-4f, 0.9f, 0.95f, 1e-8f, 0.1f, 1f, 1f);
        double bytes = (28.0 + (type == DType.F32 ? 0 : 2)) * n;
        time("adamW", 1, 0, bytes,
                () -> kernels.adamW(new Buffer[] {w}, new Buffer[] {m}, new Buffer[] {v},
                        new Buffer[] {compute}, new Buffer[] {g}, new AdamW[] {scalars},
                        new long[] {0}, new DigestSum[] {sum}));
        time("digest", 0, 0, 12.0 * n, () -> kernels.digest(w, m, v, 0, n, sum));
        time("sum of squares", 1, 0, 4.0 * n, () -> kernels.sumsOfSquares(new double[1], new Buffer[] {g}));
        time("zero", 0, 0, 4.0 * n, () -> kernels.zero(g, n));
        time("cast", 0, 0, 8.0 * n, () -> kernels.cast(m, g, n));
    }
}
