package castalia.kernels;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.util.ArrayList;
import java.util.List;
import java.util.stream.LongStream;
import org.junit.jupiter.api.Test;

/**
 * Every operation refuses a buffer that is one element too short, and the other kind of element
 * (integers for numbers and the reverse), before it writes anything.
 */
interface RefusalContract extends KernelSubject {

    int R = 6;
    int C = 20;
    int V = 10;

    /** Added to a size of F64. */
    long DOUBLES = 1L << 40;

    /** An operation on buffers of the given sizes; a size below 0 stands for that many integers. */
    record Operation(String name, Invocation invocation, List<Long> sizes) {

        interface Invocation {
            void on(Kernels kernels, Buffer[] b);
        }

        Operation(String name, Invocation invocation, long... sizes) {
            this(name, invocation, LongStream.of(sizes).boxed().toList());
        }

        private List<Buffer> allocate(Arena arena) {
            List<Buffer> buffers = new ArrayList<>();
            for (long size : sizes) {
                buffers.add(size > DOUBLES
                        ? arena.allocate(DType.F64, size - DOUBLES)
                        : arena.allocate(size < 0 ? DType.I32 : DType.F32, Math.abs(size)));
            }
            return buffers;
        }

        private void accept(Kernels kernels, List<Buffer> buffers) {
            invocation.on(kernels, buffers.toArray(Buffer[]::new));
        }
    }

    static List<Operation> operations() {
        AdamW scalars = OptimizerContract.UPDATE;
        long n = R * C;
        MatmulShape forward = MatmulShape.forward(R, C, V, DType.F32, DType.F32, true);
        MatmulShape backward = MatmulShape.weightGradient(R, C, V, DType.F32, DType.F32, true);
        List<Operation> list = new ArrayList<>();
        list.add(new Operation("matmul forward",
                (k, b) -> k.matmul(forward, b[0], b[1], b[2], b[3]), n, R * V, C * V, C));
        list.add(new Operation("matmul weight gradient",
                (k, b) -> k.matmul(backward, b[0], b[1], b[2], null), C * V, R * C, R * V));
        MatmulShape input = MatmulShape.inputGradient(R, V, C, DType.F32, DType.F32);
        list.add(new Operation("matmulGelu",
                (k, b) -> k.matmulGelu(forward, b[0], b[1], b[2], b[3], b[4], true, false),
                n, n, R * V, C * V, C));
        list.add(new Operation("matmulGeluBackward",
                (k, b) -> k.matmulGeluBackward(input, b[0], b[1], b[2], b[3], true),
                n, R * V, V * C, n));
        list.add(new Operation("embedding",
                (k, b) -> k.embedding(b[0], b[1], b[2], 0, R, C, V), n, -R, V * C));
        list.add(new Operation("selectRows",
                (k, b) -> k.selectRows(b[0], b[1], b[2], 0, R, C, V), n, n, -R));
        list.add(new Operation("embeddingBackward",
                (k, b) -> k.embeddingBackward(b[0], b[1], b[2], 0, R, C, V, false), V * C, n, -R));
        list.add(new Operation("layerNorm",
                (k, b) -> k.layerNorm(b[0], b[1], b[2], b[3], b[4], b[5], 1, R, C),
                n, R, R, n, C, C));
        list.add(new Operation("layerNormDouble",
                (k, b) -> k.layerNormDouble(b[0], b[1], b[2], b[3], b[4], b[5], b[6], b[7], b[8], 1,
                        R, C), n, n, R, R, n, C, C, C, C));
        list.add(new Operation("layerNormBackward",
                (k, b) -> k.layerNormBackward(b[0], b[1], b[2], b[3], b[4], b[5], b[6], b[7], b[8],
                        R, C, false), n, C, C, n, n, n, R, R, C));
        list.add(new Operation("layerNormDoubleBackward",
                (k, b) -> k.layerNormDoubleBackward(b[0], b[1], b[2], b[3], b[4], b[5], b[6], b[7],
                        b[8], b[9], b[10], b[11], b[12], R, C, false),
                n, C, C, C, C, n, n, n, n, R, R, C, C));
        list.add(new Operation("rotary",
                (k, b) -> k.rotary(b[0], b[1], false, 2, 3, 5, 4, 2), 3 * 2 * 3 * 5 * 4, 3 * 2));
        list.add(new Operation("attention", (k, b) -> k.attention(b[0], b[1], b[2], 2, 3, 5, 4),
                n, 2 * 3 * 5, 3 * n));
        list.add(new Operation("attentionBackward",
                (k, b) -> k.attentionBackward(b[0], b[1], b[2], b[3], b[4], 2, 3, 5, 4),
                3 * n, n, n, 2 * 3 * 5, 3 * n));
        list.add(new Operation("gelu", (k, b) -> k.gelu(b[0], b[1], false, n), n, n));
        list.add(new Operation("geluBackward",
                (k, b) -> k.geluBackward(b[0], b[1], b[2], true, n), n, n, n));
        list.add(new Operation("biasGradient",
                (k, b) -> k.biasGradient(b[0], b[1], R, C, false), C, n));
        list.add(new Operation("residual",
                (k, b) -> k.residual(b[0], b[1], new Buffer[] {b[2], b[3]}, b[4], b[5], 1, R, C),
                n, n, n, n, C, C));
        list.add(new Operation("sumPartials",
                (k, b) -> k.sumPartials(b[0], new Buffer[] {b[1], b[2]}, n), n, n, n));
        list.add(new Operation("softmaxPartial",
                (k, b) -> k.softmaxPartial(b[0], b[1], b[2], b[3], b[4], 0, R, V),
                R * V, R, R, R, -R));
        list.add(new Operation("softmaxJoin",
                (k, b) -> k.softmaxJoin(b[7], new Buffer[] {b[0], b[1]}, new Buffer[] {b[2], b[3]},
                        new Buffer[] {b[4], b[5]}, b[6], R), R, R, R, R, R, R, R, DOUBLES + 1));
        list.add(new Operation("softmaxGradient",
                (k, b) -> k.softmaxGradient(b[0], b[1], b[2], b[3], b[4], 1, 0, R, V),
                R * V, R * V, R, R, -R));
        list.add(new Operation("add", (k, b) -> k.add(b[0], b[1], n), n, n));
        list.add(new Operation("cast", (k, b) -> k.cast(b[0], b[1], n), n, n));
        list.add(new Operation("zero", (k, b) -> k.zero(b[0], n), n));
        list.add(new Operation("fill", (k, b) -> k.fill(b[0], 1, n), n));
        list.add(new Operation("sumsOfSquares",
                (k, b) -> k.sumsOfSquares(new double[1], new Buffer[] {b[0]}), n));
        list.add(new Operation("adamW",
                (k, b) -> k.adamW(new Buffer[] {b[0]}, new Buffer[] {b[1]}, new Buffer[] {b[2]},
                        new Buffer[] {b[3]}, new Buffer[] {b[4]}, new AdamW[] {scalars},
                        new long[] {0}, new DigestSum[] {new DigestSum()}), n, n, n, n, n));
        list.add(new Operation("digest",
                (k, b) -> k.digest(b[0], b[1], b[2], 0, n, new DigestSum()), n, n, n));
        list.add(new Operation("normal",
                (k, b) -> k.normal(b[0], 1, 1, 1, 0, 0, C, R, C), n));
        return list;
    }

    @Test
    default void shortBuffersAreRefused() {
        try (Arena arena = device().arena()) {
            for (Operation operation : operations()) {
                List<Buffer> buffers = operation.allocate(arena);
                operation.accept(device().kernels(), buffers); // as it should be
                if (operation.name().equals("sumsOfSquares")) {
                    continue; // of all elements, however many
                }
                for (int i = 0; i < buffers.size(); i++) {
                    Buffer whole = buffers.get(i);
                    refused(operation, i, buffers, whole.slice(0, whole.elements() - 1));
                }
            }
        }
    }

    @Test
    default void theWrongKindOfElementIsRefused() {
        try (Arena arena = device().arena()) {
            for (Operation operation : operations()) {
                List<Buffer> buffers = operation.allocate(arena);
                for (int i = 0; i < buffers.size(); i++) {
                    Buffer right = buffers.get(i);
                    DType other = right.type() == DType.I32 ? DType.F32 : DType.I32;
                    Buffer wrong = new Buffer(other,
                            right.segment().byteSize() / other.bytes(), right.segment());
                    refused(operation, i, buffers, wrong);
                }
            }
        }
    }

    private void refused(Operation operation, int argument, List<Buffer> buffers, Buffer wrong) {
        for (Buffer buffer : buffers) {
            write(buffer, (byte) 0x11);
        }
        List<Buffer> arguments = new ArrayList<>(buffers);
        arguments.set(argument, wrong);
        assertThatThrownBy(() -> operation.accept(device().kernels(), arguments))
                .as("%s with buffer %s as %s of %s", operation.name(), argument, wrong.type(),
                        wrong.elements())
                .isInstanceOf(IllegalArgumentException.class);
        for (Buffer buffer : buffers) {
            assertThat(read(buffer)).as("%s refusing buffer %s", operation.name(), argument)
                    .containsOnly(0x11);
        }
    }

    private void write(Buffer buffer, byte value) {
        byte[] bytes = new byte[(int) buffer.segment().byteSize()];
        java.util.Arrays.fill(bytes, value);
        device().upload(buffer, java.lang.foreign.MemorySegment.ofArray(bytes));
    }

    private byte[] read(Buffer buffer) {
        byte[] bytes = new byte[(int) buffer.segment().byteSize()];
        device().download(java.lang.foreign.MemorySegment.ofArray(bytes), buffer);
        return bytes;
    }

    @Test
    default void impossibleArgumentsAreRefused() {
        try (Arena arena = device().arena()) {
            Kernels kernels = device().kernels();
            Buffer x = arena.allocate(DType.F32, 480);
            Buffer loss = arena.allocate(DType.F64, 1);
            DigestSum sum = new DigestSum();
            List<Runnable> impossible = List.of(
                    () -> kernels.rotary(x, x.slice(0, 60), false, 1, 10, 2, 8, 3),
                    () -> kernels.rotary(x, x.slice(0, 60), false, 1, 6, 2, 8, 10),
                    () -> kernels.rotary(x, x, false, 1, 6, 2, 8, -2),
                    () -> kernels.digest(x, x, x, 8, 16, sum),
                    () -> kernels.digest(x, x, x, -16, 16, sum),
                    () -> kernels.sumPartials(x, new Buffer[0], 1),
                    () -> kernels.softmaxJoin(
                            loss, new Buffer[0], new Buffer[0], new Buffer[0], x, 1),
                    () -> kernels.softmaxJoin(loss, new Buffer[] {x}, new Buffer[] {x, x},
                            new Buffer[] {x, x}, x, 1),
                    () -> kernels.sumsOfSquares(new double[2], new Buffer[] {x}),
                    () -> kernels.adamW(new Buffer[] {x}, new Buffer[] {x}, new Buffer[] {x},
                            new Buffer[] {x}, new Buffer[] {x, x},
                            new AdamW[] {OptimizerContract.UPDATE}, new long[] {0},
                            new DigestSum[] {sum}),
                    () -> kernels.adamW(new Buffer[] {x}, new Buffer[] {x}, new Buffer[] {x},
                            new Buffer[] {x}, new Buffer[] {x},
                            new AdamW[] {OptimizerContract.UPDATE}, new long[] {8},
                            new DigestSum[] {sum}));
            for (int i = 0; i < impossible.size(); i++) {
                Runnable call = impossible.get(i);
                assertThatThrownBy(call::run).as("call %s", i)
                        .isInstanceOf(IllegalArgumentException.class);
            }
        }
    }
}
