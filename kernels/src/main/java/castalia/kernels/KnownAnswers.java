package castalia.kernels;

import java.lang.foreign.MemorySegment;
import java.nio.ByteBuffer;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.HexFormat;
import java.util.LinkedHashSet;
import java.util.List;

/**
 * Digests of results over fixed operands. Two devices with equal digests may take part in one run;
 * a device whose own threads disagree may take part in none.
 */
public final class KnownAnswers {

    private static final long SEED = 19;
    private static final int ROWS = 150;
    private static final int COLUMNS = 84;
    private static final int VOCABULARY = 131;
    private static final int SEQUENCE = 75;
    private static final int HEADS = 3;
    private static final int DIMENSION = 28;
    private static final int STATE = 1003;

    private final Arena arena;
    private final Device device;
    private final Kernels kernels;
    private final DType type;
    private final MessageDigest digest;

    private KnownAnswers(Arena arena, Device device, DType type, MessageDigest digest) {
        this.arena = arena;
        this.device = device;
        this.kernels = device.kernels();
        this.type = type;
        this.digest = digest;
    }

    /**
     * SHA-256 over every distinct product shape of a run, each block computed on every thread of
     * the device. The cut into blocks is a function of the shape, so nothing else can differ.
     *
     * @throws IllegalStateException if two threads give different bits, naming the shape
     */
    public static String of(Device device, List<MatmulShape> shapes) {
        MessageDigest digest = sha256();
        for (MatmulShape shape : new LinkedHashSet<>(shapes)) {
            digest.update(HexFormat.of().parseHex(of(device, shape)));
        }
        return HexFormat.of().formatHex(digest.digest());
    }

    /**
     * SHA-256 of one product shape, each block computed on every thread of the device.
     *
     * @throws IllegalStateException if two threads give different bits, naming the shape
     */
    public static String of(Device device, MatmulShape shape) {
        List<String> answers = device.productAnswers(shape);
        for (int thread = 1; thread < answers.size(); thread++) {
            if (!answers.get(thread).equals(answers.getFirst())) {
                throw new IllegalStateException("threads 0 and " + thread + " of "
                        + device.description() + " give different bits for the product "
                        + shape.inWords());
            }
        }
        return answers.getFirst();
    }

    /** SHA-256 of a whole product over fixed operands. */
    public static String ofProduct(Device device, MatmulShape shape) {
        MessageDigest digest = sha256();
        try (Arena arena = device.arena()) {
            KnownAnswers answers = new KnownAnswers(arena, device, shape.input(), digest);
            Buffer a = shape.transposeA()
                    ? answers.values(shape.input(), shape.k(), shape.strideA(), 1)
                    : answers.values(shape.input(), shape.m(), shape.strideA(), 1);
            Buffer b = shape.transposeB()
                    ? answers.values(shape.input(), shape.n(), shape.strideB(), 2)
                    : answers.values(shape.input(), shape.k(), shape.strideB(), 2);
            Buffer bias = answers.values(shape.input(), 1, shape.n(), 3);
            Buffer out = answers.values(shape.output(), shape.m(), shape.strideOut(), 4);
            device.kernels().matmul(shape, out, a, b, bias);
            answers.take(out);
        }
        return HexFormat.of().formatHex(digest.digest());
    }

    /**
     * SHA-256 of the products beside a GELU with tanh over fixed operands: the one before it, with its
     * bias, and the gradient of what goes into it. A device's library may have joined them.
     */
    public static String ofGelu(Device device, MatmulShape before, MatmulShape gradient) {
        MessageDigest digest = sha256();
        try (Arena arena = device.arena()) {
            DType type = before.input();
            KnownAnswers answers = new KnownAnswers(arena, device, type, digest);
            int rows = before.m();
            long size = (long) rows * before.n();
            Buffer out = answers.empty(type, size);
            Buffer x = answers.empty(type, size);
            device.kernels().matmulGelu(before, out, x, answers.values(type, rows, before.k(), 1),
                    answers.values(type, before.n(), before.k(), 2),
                    answers.values(type, 1, before.n(), 3), true, false);
            answers.take(out, x);
            device.kernels().matmulGeluBackward(gradient, out,
                    answers.values(type, rows, gradient.k(), 4),
                    answers.values(type, gradient.k(), gradient.n(), 5), x, true);
            answers.take(out);
        }
        return HexFormat.of().formatHex(digest.digest());
    }

    /** SHA-256 of attention over one sequence of fixed operands, forward and backward. */
    public static String ofAttention(
            Device device, DType type, int sequence, int heads, int dimension) {
        MessageDigest digest = sha256();
        try (Arena arena = device.arena()) {
            KnownAnswers answers = new KnownAnswers(arena, device, type, digest);
            answers.attention(answers.values(type, sequence, 3 * heads * dimension, 9), sequence,
                    heads, dimension);
        }
        return HexFormat.of().formatHex(digest.digest());
    }

    /** SHA-256 over a fixed set of small products and kernels, in F32 and in BF16. */
    public static String ofKernels(Device device) {
        return ofKernels(device, List.of(DType.F32, DType.BF16));
    }

    /** SHA-256 over the same products and kernels in one compute type. */
    public static String ofKernels(Device device, DType type) {
        return ofKernels(device, List.of(type));
    }

    private static String ofKernels(Device device, List<DType> types) {
        MessageDigest digest = sha256();
        for (DType type : types) {
            try (Arena arena = device.arena()) {
                KnownAnswers answers = new KnownAnswers(arena, device, type, digest);
                answers.products();
                answers.rows();
                answers.attention();
                answers.crossEntropy();
                answers.state();
            }
        }
        return HexFormat.of().formatHex(digest.digest());
    }

    /** A fresh SHA-256. */
    public static MessageDigest sha256() {
        try {
            return MessageDigest.getInstance("SHA-256");
        } catch (NoSuchAlgorithmException e) {
            throw new IllegalStateException("every Java runtime has SHA-256", e);
        }
    }

    private Buffer values(DType of, int rows, int columns, int tensor) {
        Buffer buffer = arena.allocate(of, (long) rows * columns);
        kernels.normal(buffer, 1, SEED, tensor, 0, 0, columns, rows, columns);
        return buffer;
    }

    private Buffer empty(DType of, long elements) {
        return arena.allocate(of, elements);
    }

    private void take(Buffer... results) {
        for (Buffer result : results) {
            byte[] bytes = new byte[Math.toIntExact(result.segment().byteSize())];
            device.download(MemorySegment.ofArray(bytes), result);
            digest.update(bytes);
        }
    }

    private void products() {
        int n = 2 * COLUMNS;
        Buffer x = values(type, ROWS, COLUMNS, 1);
        Buffer weight = values(type, n, COLUMNS, 2);
        Buffer dy = values(type, ROWS, n, 3);
        Buffer bias = values(type, 1, n, 4);
        Buffer y = empty(type, (long) ROWS * n);
        kernels.matmul(MatmulShape.forward(ROWS, n, COLUMNS, type, type, true), y, x, weight, bias);
        Buffer dx = empty(DType.F32, (long) ROWS * COLUMNS);
        kernels.matmul(MatmulShape.inputGradient(ROWS, n, COLUMNS, type, DType.F32), dx, dy, weight,
                bias);
        Buffer dw = values(DType.F32, n, COLUMNS, 5);
        kernels.matmul(MatmulShape.weightGradient(ROWS, n, COLUMNS, type, DType.F32, true), dw, dy,
                x, bias);
        take(y, dx, dw);
    }

    private void rows() {
        long size = (long) ROWS * COLUMNS;
        Buffer x = values(type, ROWS, COLUMNS, 6);
        Buffer weight = values(type, 1, COLUMNS, 7);
        Buffer bias = values(type, 1, COLUMNS, 8);
        Buffer mean = empty(DType.F32, ROWS);
        Buffer rstd = empty(DType.F32, ROWS);
        Buffer out = empty(type, size);
        Buffer dx = empty(type, size);
        Buffer dWeight = empty(DType.F32, COLUMNS);
        Buffer dBias = empty(DType.F32, COLUMNS);
        kernels.layerNorm(out, mean, rstd, x, weight, bias, 1e-5f, ROWS, COLUMNS);
        kernels.layerNormBackward(dx, dWeight, dBias, null, out, x, mean, rstd, weight, ROWS,
                COLUMNS, false);
        take(out, mean, rstd, dx, dWeight, dBias);
        for (boolean tanh : new boolean[] {false, true}) {
            kernels.gelu(out, x, tanh, size);
            kernels.geluBackward(dx, out, x, tanh, size);
            take(out, dx);
        }
        kernels.biasGradient(dBias, x, ROWS, COLUMNS, true);
        take(dBias);
    }

    private void attention() {
        Buffer qkv = values(type, SEQUENCE, 3 * HEADS * DIMENSION, 9);
        Buffer table = values(DType.F32, SEQUENCE, 8, 10);
        kernels.rotary(qkv, table, false, 1, SEQUENCE, HEADS, DIMENSION, 8);
        attention(qkv, SEQUENCE, HEADS, DIMENSION);
    }

    private void attention(Buffer qkv, int sequence, int heads, int dimension) {
        long elements = (long) sequence * heads * dimension;
        Buffer out = empty(type, elements);
        Buffer lse = empty(DType.F32, (long) sequence * heads);
        Buffer dQkv = empty(type, 3 * elements);
        kernels.attention(out, lse, qkv, 1, sequence, heads, dimension);
        kernels.attentionBackward(dQkv, out, out, lse, qkv, 1, sequence, heads, dimension);
        take(qkv, out, lse, dQkv);
    }

    private void crossEntropy() {
        Buffer logits = values(DType.F32, SEQUENCE, VOCABULARY, 11);
        Buffer labels = empty(DType.I32, SEQUENCE);
        ByteBuffer ids = ByteBuffer.allocateDirect(4 * SEQUENCE);
        for (int row = 0; row < SEQUENCE; row++) {
            // Little-endian, whatever the buffer's own order.
            ids.put(4 * row, (byte) (row * 53 % VOCABULARY));
        }
        device.upload(labels, MemorySegment.ofBuffer(ids));
        Buffer max = empty(DType.F32, SEQUENCE);
        Buffer sum = empty(DType.F32, SEQUENCE);
        Buffer target = empty(DType.F32, SEQUENCE);
        Buffer factor = empty(DType.F32, SEQUENCE);
        kernels.softmaxPartial(logits, max, sum, target, labels, 0, SEQUENCE, VOCABULARY);
        Buffer loss = empty(DType.F64, 1);
        kernels.softmaxJoin(loss, new Buffer[] {factor}, new Buffer[] {max}, new Buffer[] {sum},
                target, SEQUENCE);
        Buffer dLogits = empty(type, (long) SEQUENCE * VOCABULARY);
        kernels.softmaxGradient(
                dLogits, logits, max, factor, labels, 0.125f, 0, SEQUENCE, VOCABULARY);
        take(logits, max, sum, target, factor, dLogits);
        double[] read = new double[1];
        device.download(MemorySegment.ofArray(read), loss);
        number(Double.doubleToRawLongBits(read[0]));
    }

    private void state() {
        Buffer weight = values(DType.F32, 1, STATE, 12);
        Buffer first = values(DType.F32, 1, STATE, 13);
        Buffer second = empty(DType.F32, STATE);
        Buffer gradient = values(DType.F32, 1, STATE, 14);
        Buffer compute = empty(type, STATE);
        DigestSum sum = new DigestSum();
        AdamW scalars = new AdamW(0.5f, 1e-3f, 0.9f, 0.95f, 1e-8f, 0.1f, 10f, 20f);
        Buffer[] gradients = {gradient};
        kernels.adamW(new Buffer[] {weight}, new Buffer[] {first}, new Buffer[] {second},
                new Buffer[] {compute}, gradients, new AdamW[] {scalars}, new long[] {32},
                new DigestSum[] {sum});
        take(weight, first, second, compute);
        number(sum.a);
        number(sum.b);
        double[] squares = new double[1];
        kernels.sumsOfSquares(squares, gradients);
        number(Double.doubleToRawLongBits(squares[0]));
    }

    private void number(long value) {
        byte[] bytes = new byte[Long.BYTES];
        for (int i = 0; i < bytes.length; i++) {
            bytes[i] = (byte) (value >>> (8 * i));
        }
        digest.update(bytes);
    }
}
