package castalia.kernels.cpu;

import castalia.kernels.AdamW;
import castalia.kernels.Arena;
import castalia.kernels.Buffer;
import castalia.kernels.DType;
import castalia.kernels.Device;
import castalia.kernels.DigestSum;
import castalia.kernels.Kernels;
import castalia.kernels.MatmulShape;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.ArrayList;
import java.util.List;

/** Every operation in one compute type, at shapes of several blocks with tails. */
final class Operations {

    /** An operation over buffers of its own. */
    record Operation(String name, List<Buffer> buffers, Runnable call) {
        boolean products() {
            return name.contains("forward") || name.contains("gradient")
                    || name.contains("attention");
        }
    }

    private static final int ROWS = 300;
    private static final int COLUMNS = 150;
    private static final int VOCABULARY = 331;
    private static final int BATCH = 2;
    private static final int SEQUENCE = 150;
    private static final int HEADS = 3;
    private static final int DIMENSION = 20;
    private static final int COUNT = 20_005;

    private final Device device;
    private final Kernels kernels;
    private final Arena arena;
    private final DType type;
    private final List<Operation> operations = new ArrayList<>();
    private final List<Buffer> buffers = new ArrayList<>();

    /** What the last operation with a result returned, and the digest's sums. */
    double result;
    final DigestSum digest = new DigestSum();

    Operations(Device device, Arena arena, DType type) {
        this.device = device;
        this.arena = arena;
        this.type = type;
        kernels = device.kernels();
        products();
        tokens();
        norms();
        attention();
        pointwise();
        crossEntropy();
        state();
    }

    List<Operation> all() {
        return List.copyOf(operations);
    }

    /** The operations whose results depend on the engine. */
    List<Operation> withProducts() {
        return operations.stream().filter(operation -> operation.products()).toList();
    }

    /** Writes every buffer of an operation anew: the same values each time, on every device. */
    void reset(Operation operation) {
        int tensor = 0;
        for (Buffer buffer : operation.buffers()) {
            tensor++;
            if (buffer.type() == DType.I32) {
                MemorySegment ids = MemorySegment.ofArray(new int[(int) buffer.elements()]);
                for (int i = 0; i < buffer.elements(); i++) {
                    ids.setAtIndex(ValueLayout.JAVA_INT, i, i * 7919 % VOCABULARY);
                }
                device.upload(buffer, ids);
            } else {
                kernels.normal(buffer, 1, 5, tensor, 0, 0, 1, (int) buffer.elements(), 1);
            }
        }
        result = 0;
        digest.a = 0;
        digest.b = 0;
    }

    private Buffer buffer(DType of, long elements) {
        Buffer buffer = arena.allocate(of, elements);
        buffers.add(buffer);
        return buffer;
    }

    private Buffer f32(long elements) {
        return buffer(DType.F32, elements);
    }

    private Buffer typed(long elements) {
        return buffer(type, elements);
    }

    private void add(String name, Runnable call) {
        operations.add(new Operation(name + " " + type, List.copyOf(buffers), call));
        buffers.clear();
    }

    private void product(String name, MatmulShape shape) {
        Buffer a = typed((long) shape.strideA() * (shape.transposeA() ? shape.k() : shape.m()));
        Buffer b = typed((long) shape.strideB() * (shape.transposeB() ? shape.n() : shape.k()));
        Buffer bias = typed(shape.n());
        Buffer out = buffer(shape.output(), (long) shape.strideOut() * shape.m());
        add(name, () -> kernels.matmul(shape, out, a, b, bias));
    }

    private void products() {
        int n = 200;
        product("forward", MatmulShape.forward(ROWS, n, COLUMNS, type, type, true));
        product("input gradient",
                MatmulShape.inputGradient(ROWS, n, COLUMNS, type, DType.F32));
        product("weight gradient",
                MatmulShape.weightGradient(ROWS, n, COLUMNS, type, DType.F32, true));
    }

    private void tokens() {
        Buffer ids = buffer(DType.I32, ROWS);
        Buffer weight = typed((long) VOCABULARY * COLUMNS);
        Buffer out = typed((long) ROWS * COLUMNS);
        add("embedding", () -> kernels.embedding(out, ids, weight, 3, ROWS, COLUMNS, 300));
        Buffer chosen = buffer(DType.I32, ROWS);
        Buffer rows = typed((long) ROWS * COLUMNS);
        Buffer some = typed((long) ROWS * COLUMNS);
        add("selectRows", () -> kernels.selectRows(some, rows, chosen, 3, ROWS, COLUMNS, 300));
        Buffer labels = buffer(DType.I32, ROWS);
        Buffer dOut = typed((long) ROWS * COLUMNS);
        Buffer dWeight = f32((long) VOCABULARY * COLUMNS);
        add("embeddingBackward", () -> kernels.embeddingBackward(
                dWeight, dOut, labels, 0, ROWS, COLUMNS, VOCABULARY, false));
    }

    private void norms() {
        long size = (long) ROWS * COLUMNS;
        Buffer out1 = typed(size);
        Buffer out2 = typed(size);
        Buffer x = typed(size);
        Buffer mean = f32(ROWS);
        Buffer rstd = f32(ROWS);
        Buffer w1 = typed(COLUMNS);
        Buffer b1 = typed(COLUMNS);
        Buffer w2 = typed(COLUMNS);
        Buffer b2 = typed(COLUMNS);
        add("layerNorm, layerNormDouble", () -> {
            kernels.layerNorm(out1, mean, rstd, x, w1, b1, 1e-5f, ROWS, COLUMNS);
            kernels.layerNormDouble(
                    out1, out2, mean, rstd, x, w1, b1, w2, b2, 1e-5f, ROWS, COLUMNS);
        });
        Buffer dx = typed(size);
        Buffer dOut1 = typed(size);
        Buffer dOut2 = typed(size);
        Buffer y = typed(size);
        Buffer means = f32(ROWS);
        Buffer rstds = f32(ROWS);
        Buffer v1 = typed(COLUMNS);
        Buffer v2 = typed(COLUMNS);
        Buffer dw1 = f32(COLUMNS);
        Buffer db1 = f32(COLUMNS);
        Buffer dw2 = f32(COLUMNS);
        Buffer db2 = f32(COLUMNS);
        add("layerNormBackward, layerNormDoubleBackward", () -> {
            kernels.layerNormBackward(
                    dx, dw1, db1, dx, dOut1, y, means, rstds, v1, ROWS, COLUMNS, true);
            kernels.layerNormDoubleBackward(dx, dw1, db1, dw2, db2, dx, dOut1, dOut2, y, means,
                    rstds, v1, v2, ROWS, COLUMNS, true);
        });
        Buffer dBias = f32(COLUMNS);
        Buffer g = typed(size);
        add("biasGradient", () -> kernels.biasGradient(dBias, g, ROWS, COLUMNS, true));
    }

    private void attention() {
        long tokens = (long) BATCH * SEQUENCE;
        int width = HEADS * DIMENSION;
        Buffer qkv = typed(3 * tokens * width);
        Buffer table = f32((long) SEQUENCE * 10);
        add("rotary", () -> kernels.rotary(
                qkv, table, false, BATCH, SEQUENCE, HEADS, DIMENSION, 10));
        Buffer in = typed(3 * tokens * width);
        Buffer out = typed(tokens * width);
        Buffer lse = f32(tokens * HEADS);
        Buffer dOut = typed(tokens * width);
        Buffer dQkv = typed(3 * tokens * width);
        add("attention, attentionBackward", () -> {
            kernels.attention(out, lse, in, BATCH, SEQUENCE, HEADS, DIMENSION);
            kernels.attentionBackward(
                    dQkv, dOut, out, lse, in, BATCH, SEQUENCE, HEADS, DIMENSION);
        });
        int length = 700;
        Buffer longIn = typed(3L * length * DIMENSION);
        Buffer longOut = typed((long) length * DIMENSION);
        Buffer longLse = f32(length);
        Buffer longGradient = typed(3L * length * DIMENSION);
        add("attention of a long sequence", () -> {
            kernels.attention(longOut, longLse, longIn, 1, length, 1, DIMENSION);
            kernels.attentionBackward(
                    longGradient, longOut, longOut, longLse, longIn, 1, length, 1, DIMENSION);
        });
    }

    private void pointwise() {
        for (boolean tanh : new boolean[] {false, true}) {
            Buffer x = typed(COUNT);
            Buffer y = typed(COUNT);
            add("gelu, tanh " + tanh, () -> {
                kernels.gelu(y, x, tanh, COUNT);
                kernels.geluBackward(y, y, x, tanh, COUNT);
            });
        }
        Buffer out = typed((long) ROWS * COLUMNS);
        Buffer in = typed((long) ROWS * COLUMNS);
        Buffer bias1 = typed(COLUMNS);
        Buffer bias2 = typed(COLUMNS);
        Buffer[] partials = new Buffer[3];
        for (int i = 0; i < partials.length; i++) {
            partials[i] = f32((long) ROWS * COLUMNS);
        }
        add("residual, sumPartials", () -> {
            kernels.residual(out, in, partials, bias1, bias2, 2, ROWS, COLUMNS);
            kernels.sumPartials(in, partials, (long) ROWS * COLUMNS);
        });
        Buffer sum = f32(COUNT);
        Buffer added = f32(COUNT);
        Buffer rounded = typed(COUNT);
        Buffer zero = typed(COUNT);
        Buffer filled = typed(COUNT);
        add("add, cast, zero, fill", () -> {
            kernels.add(sum, added, COUNT);
            kernels.cast(rounded, sum, COUNT);
            kernels.zero(zero, COUNT - 3);
            kernels.fill(filled, 1.1f, COUNT - 3);
        });
    }

    private void crossEntropy() {
        Buffer logits = f32((long) ROWS * VOCABULARY);
        Buffer max = f32(ROWS);
        Buffer sum = f32(ROWS);
        Buffer target = f32(ROWS);
        Buffer factor = f32(ROWS);
        Buffer labels = buffer(DType.I32, ROWS);
        Buffer loss = arena.allocate(DType.F64, 1);
        Buffer dLogits = typed((long) ROWS * VOCABULARY);
        Buffer[] factors = {factor};
        Buffer[] maxima = {max};
        Buffer[] sums = {sum};
        add("softmaxPartial, softmaxJoin, softmaxGradient", () -> {
            kernels.softmaxPartial(logits, max, sum, target, labels, 0, ROWS, VOCABULARY);
            kernels.softmaxJoin(loss, factors, maxima, sums, target, ROWS);
            kernels.softmaxGradient(
                    dLogits, logits, max, factor, labels, 0.25f, 0, ROWS, VOCABULARY);
        });
    }

    private void state() {
        Buffer weight = f32(COUNT);
        Buffer first = f32(COUNT);
        Buffer second = f32(COUNT);
        Buffer gradient = f32(COUNT);
        Buffer compute = typed(COUNT);
        AdamW[] scalars = {new AdamW(0.5f, 1e-3f, 0.9f, 0.95f, 1e-8f, 0.1f, 10f, 20f)};
        Buffer[] weights = {weight};
        Buffer[] firsts = {first};
        Buffer[] seconds = {second};
        Buffer[] rounded = {compute};
        Buffer[] gradients = {gradient};
        long[] positions = {1600};
        DigestSum[] digests = {digest};
        double[] squares = new double[1];
        add("adamW, digest, sumsOfSquares", () -> {
            kernels.fill(second, 0.5f, COUNT);
            kernels.adamW(weights, firsts, seconds, rounded, gradients, scalars, positions, digests);
            kernels.digest(weight, first, second, 16, COUNT, digest);
            kernels.sumsOfSquares(squares, gradients);
            result = squares[0];
        });
        Buffer normal = typed((long) ROWS * COLUMNS);
        add("normal", () -> kernels.normal(normal, 0.02, 7, 3, 11, 5, 400, ROWS, COLUMNS));
    }
}
