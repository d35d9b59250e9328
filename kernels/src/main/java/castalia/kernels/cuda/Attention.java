package castalia.kernels.cuda;

import castalia.kernels.Buffer;
import castalia.kernels.DType;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import org.jspecify.annotations.Nullable;

/**
 * Launches of causal attention: kernels on matrix units for BF16 and F16 and the published head
 * dimensions, plain ones for everything else. The backward pass sums in two kernels, one per block
 * of keys and one per block of queries, so that nothing is added in an open order.
 */
final class Attention {

    private static final List<Integer> DIMENSIONS = List.of(32, 64, 80, 128, 256);
    private static final int LARGEST = 256;
    private static final int SMALL = 80;
    private static final int WARP = 32;
    private static final int WARP_ROWS = 16;
    private static final int BACKWARD_THREADS = 128;
    private static final int BACKWARD_ROWS = 64;
    private static final int PLAIN_ROWS = 4;
    private static final int VECTORS_PER_BLOCK = 8;

    /** Kernels of one head dimension. */
    private record Kernels(int dimension, KernelFunctions.Typed forward, KernelFunctions.Typed keys,
            KernelFunctions.Typed queries) {

        static Kernels of(KernelFunctions functions, int dimension) {
            return new Kernels(dimension,
                    functions.halves("attention_" + dimension, forwardBytes(dimension)),
                    functions.halves("attention_keys_" + dimension, keyBytes(dimension)),
                    functions.halves("attention_queries_" + dimension, queryBytes(dimension)));
        }

        static int warps(int dimension) {
            return dimension == LARGEST ? 4 : 8;
        }

        /** Shared memory: padded rows of queries, keys and values. */
        static int forwardBytes(int dimension) {
            int keys = dimension == LARGEST ? 32 : 64;
            return (WARP_ROWS * warps(dimension) + 2 * keys) * rowBytes(dimension);
        }

        static int keyBytes(int dimension) {
            int queries = dimension <= SMALL ? 64 : 32;
            return (2 * BACKWARD_ROWS + 4 * queries) * rowBytes(dimension) + 16 * queries;
        }

        static int queryBytes(int dimension) {
            int keys = dimension <= SMALL ? 64 : 32;
            return (2 * BACKWARD_ROWS + 4 * keys) * rowBytes(dimension);
        }

        private static int rowBytes(int dimension) {
            return (dimension + 8) * Short.BYTES;
        }
    }

    private final Launcher launcher;
    private final Working working;
    private final Map<Integer, Kernels> tiled = new HashMap<>();
    private final KernelFunctions.Typed plain;
    private final KernelFunctions.Typed plainKeys;
    private final KernelFunctions.Typed plainQueries;
    private final KernelFunctions.Typed delta;

    Attention(KernelFunctions functions, Launcher launcher, Working working) {
        this.launcher = launcher;
        this.working = working;
        for (int dimension : DIMENSIONS) {
            tiled.put(dimension, Kernels.of(functions, dimension));
        }
        plain = functions.typed("attention_plain");
        plainKeys = functions.typed("attention_plain_keys");
        plainQueries = functions.typed("attention_plain_queries");
        delta = functions.typed("attention_delta");
    }

    private @Nullable Kernels of(DType type, int dimension) {
        if (dimension > LARGEST) {
            throw new IllegalArgumentException("the CUDA back end's attention takes heads of up to "
                    + LARGEST + " dimensions, not " + dimension);
        }
        return type == DType.F32 ? null : tiled.get(dimension);
    }

    void forward(Buffer out, Buffer lse, Buffer qkv, int batch, int sequence, int heads,
            int dimension) {
        DType type = qkv.type();
        Kernels kernels = of(type, dimension);
        if (kernels == null) {
            launcher.of(plain.of(type)).buffer(out).buffer(lse).buffer(qkv).i32(batch)
                    .i32(sequence).i32(heads).i32(dimension).launch(
                            Grids.blocks(sequence, PLAIN_ROWS, Integer.MAX_VALUE), heads, batch,
                            PLAIN_ROWS * WARP, 0);
            return;
        }
        int warps = Kernels.warps(dimension);
        launcher.of(kernels.forward.of(type)).buffer(out).buffer(lse).buffer(qkv).i32(batch)
                .i32(sequence).i32(heads).launch(
                        Grids.blocks(sequence, WARP_ROWS * warps, Integer.MAX_VALUE), heads, batch,
                        WARP * warps, Kernels.forwardBytes(dimension));
    }

    void backward(Buffer dQkv, Buffer dOut, Buffer out, Buffer lse, Buffer qkv, int batch,
            int sequence, int heads, int dimension) {
        DType type = qkv.type();
        Kernels kernels = of(type, dimension);
        long vectors = (long) batch * sequence * heads;
        long sums = working.of(vectors * Float.BYTES);
        launcher.of(delta.of(type)).i64(sums).buffer(dOut).buffer(out).i32(batch).i32(sequence)
                .i32(heads).i32(dimension).launch(
                        Grids.blocks(vectors, VECTORS_PER_BLOCK, Integer.MAX_VALUE),
                        Grids.THREADS);
        if (kernels == null) {
            int blocks = Grids.blocks(sequence, PLAIN_ROWS, Integer.MAX_VALUE);
            start(plainKeys.of(type), dQkv, dOut, lse, sums, qkv, batch, sequence, heads)
                    .i32(dimension).launch(blocks, heads, batch, PLAIN_ROWS * WARP, 0);
            start(plainQueries.of(type), dQkv, dOut, lse, sums, qkv, batch, sequence, heads)
                    .i32(dimension).launch(blocks, heads, batch, PLAIN_ROWS * WARP, 0);
            return;
        }
        int blocks = Grids.blocks(sequence, BACKWARD_ROWS, Integer.MAX_VALUE);
        int layers = dimension == LARGEST ? 2 * batch : batch;
        start(kernels.keys.of(type), dQkv, dOut, lse, sums, qkv, batch, sequence, heads).launch(
                blocks, heads, layers, BACKWARD_THREADS, Kernels.keyBytes(dimension));
        start(kernels.queries.of(type), dQkv, dOut, lse, sums, qkv, batch, sequence, heads).launch(
                blocks, heads, batch, BACKWARD_THREADS, Kernels.queryBytes(dimension));
    }

    private Launcher start(long kernel, Buffer dQkv, Buffer dOut, Buffer lse, long sums,
            Buffer qkv, int batch, int sequence, int heads) {
        return launcher.of(kernel).buffer(dQkv).buffer(dOut).buffer(lse).i64(sums).buffer(qkv)
                .i32(batch).i32(sequence).i32(heads);
    }
}
