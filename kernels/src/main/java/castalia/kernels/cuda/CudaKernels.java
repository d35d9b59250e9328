package castalia.kernels.cuda;

import castalia.kernels.AdamW;
import castalia.kernels.Buffer;
import castalia.kernels.DType;
import castalia.kernels.DigestSum;
import castalia.kernels.Kernels;
import castalia.kernels.MatmulShape;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.util.EnumMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import org.jspecify.annotations.Nullable;

/**
 * The operations on a GPU, of arguments that were checked: each is one launch or a few, on grids
 * that are a function of the sizes alone.
 */
final class CudaKernels implements Kernels {

    private static final List<DType> TYPES = List.of(DType.F32, DType.BF16, DType.F16);
    private static final int ROW_THREADS = 128;
    private static final int MOST_ROWS = 1 << 20;
    static final int MOST_PARTIALS = 16;
    private static final int COLUMNS_PER_BLOCK = 1024;

    private final CudaDevice device;
    private final Products products;
    private final Launcher launcher;
    private final Norms norms;
    private final Attention attention;
    private final Working working;
    private final CrossEntropy crossEntropy;
    private final Optimizer optimizer;

    private final KernelFunctions.Typed fill;
    private final long add;
    private final Map<DType, KernelFunctions.Typed> casts = new EnumMap<>(DType.class);
    private final KernelFunctions.Typed sumPartials;
    private final KernelFunctions.Typed residual;
    private final KernelFunctions.Typed residualOfOne;
    private final KernelFunctions.Typed addBias;
    private final KernelFunctions.Typed gelu;
    private final KernelFunctions.Typed geluBackward;
    private final KernelFunctions.Typed embedding;
    private final KernelFunctions.Typed selectRows;
    private final KernelFunctions.Typed embeddingBackward;
    private final KernelFunctions.Typed rotary;

    /** @param host gives the memory of launches' arguments */
    CudaKernels(CudaDevice device, KernelFunctions functions, Products products, Arena host) {
        this.device = device;
        this.products = products;
        launcher = new Launcher(device.driver(), device.stream(), host);
        working = new Working(device);
        norms = new Norms(functions, launcher, working);
        attention = new Attention(functions, launcher, working);
        crossEntropy = new CrossEntropy(functions, launcher, working);
        optimizer = new Optimizer(device, functions, launcher, working);
        fill = functions.typed("fill");
        add = functions.find("add_f32");
        for (DType type : TYPES) {
            String name = "cast_" + type.name().toLowerCase(Locale.ROOT);
            casts.put(type, functions.typed(name));
        }
        sumPartials = functions.typed("sum_partials");
        residual = functions.typed("residual");
        residualOfOne = functions.typed("residual_one");
        addBias = functions.typed("add_bias");
        gelu = functions.typed("gelu");
        geluBackward = functions.typed("gelu_backward");
        embedding = functions.typed("embedding");
        selectRows = functions.typed("select_rows");
        embeddingBackward = functions.typed("embedding_backward");
        rotary = functions.typed("rotary");
    }

    @Override
    public void prepare(List<MatmulShape> shapes) {
        device.enter();
        shapes.forEach(products::prepare);
    }

    @Override
    public void matmul(
            MatmulShape shape, Buffer out, Buffer a, Buffer b, @Nullable Buffer bias) {
        device.enter();
        int groups = Products.groups(shape);
        if (groups > 1) {
            multiply(shape, groups, out, a, b);
            return;
        }
        products.multiply(shape, out, a, b, bias);
        if (shape.bias() && !Products.addsBias(shape)) {
            launcher.of(addBias.of(shape.input())).buffer(out).buffer(bias).i32(shape.m())
                    .i32(shape.n()).i32(shape.strideOut());
            launcher.launch(Math.min(shape.m(), Grids.MOST_Y),
                    Grids.blocks(shape.n(), Grids.THREADS, Grids.MOST_Y), 1, Grids.THREADS, 0);
        }
    }

    @Override
    public void matmulGelu(MatmulShape shape, Buffer out, Buffer x, Buffer a, Buffer b, Buffer bias,
            boolean tanh, boolean ofRounded) {
        device.enter();
        boolean joined = tanh && products.multiplyGelu(shape, out, x, a, b, bias);
        if (!joined) {
            matmul(shape, x, a, b, bias);
        }
        if (!joined || ofRounded) {
            gelu(out, x, tanh, (long) shape.m() * shape.n());
        }
    }

    @Override
    public void matmulGeluBackward(
            MatmulShape shape, Buffer dx, Buffer dOut, Buffer weight, Buffer x, boolean tanh) {
        device.enter();
        if (!tanh || !products.multiplyGeluBackward(shape, dx, dOut, weight, x)) {
            matmul(shape, dx, dOut, weight, null);
            geluBackward(dx, dx, x, tanh, (long) shape.m() * shape.n());
        }
    }

    /** Groups of terms are summed apart, then by the tree; the sum is added in one addition. */
    private void multiply(MatmulShape shape, int groups, Buffer out, Buffer a, Buffer b) {
        long count = (long) shape.m() * shape.n();
        long bytes = count * Float.BYTES;
        MemorySegment partials =
                MemorySegment.ofAddress(working.of(groups * bytes)).reinterpret(groups * bytes);
        products.multiply(shape, groups, partials.address(), a, b);
        Buffer[] parts = new Buffer[groups];
        for (int i = 0; i < groups; i++) {
            parts[i] = new Buffer(DType.F32, count, partials.asSlice(i * bytes, bytes));
        }
        sumPartials(shape.accumulate() ? parts[0] : out, parts, count);
        if (shape.accumulate()) {
            add(out, parts[0], count);
        }
    }

    @Override
    public void embedding(Buffer out, Buffer tokens, Buffer weight, int first, int rows,
            int columns, int vocabulary) {
        device.enter();
        launcher.of(embedding.of(out.type())).buffer(out).buffer(tokens).buffer(weight).i32(first)
                .i32(rows).i32(columns).i32(vocabulary)
                .launch(Math.min(rows, MOST_ROWS), ROW_THREADS);
    }

    @Override
    public void selectRows(Buffer out, Buffer x, Buffer tokens, int first, int rows, int columns,
            int vocabulary) {
        device.enter();
        launcher.of(selectRows.of(out.type())).buffer(out).buffer(x).buffer(tokens).i32(first)
                .i32(rows).i32(columns).i32(vocabulary)
                .launch(Math.min(rows, MOST_ROWS), ROW_THREADS);
    }

    @Override
    public void embeddingBackward(Buffer dWeight, Buffer dOut, Buffer tokens, int first, int rows,
            int columns, int vocabulary, boolean accumulate) {
        device.enter();
        if (!accumulate) {
            device.clear(dWeight.segment().address(), (long) vocabulary * columns * Float.BYTES);
        }
        launcher.of(embeddingBackward.of(dOut.type())).buffer(dWeight).buffer(dOut).buffer(tokens)
                .i32(first).i32(rows).i32(columns).i32(vocabulary)
                .launch(rows, Grids.blocks(columns, COLUMNS_PER_BLOCK, Grids.MOST_Y), 1,
                        Grids.THREADS, 0);
    }

    @Override
    public void layerNorm(Buffer out, Buffer mean, Buffer rstd, Buffer x, Buffer weight,
            Buffer bias, float epsilon, int rows, int columns) {
        device.enter();
        norms.forward(out, mean, rstd, x, weight, bias, epsilon, rows, columns);
    }

    @Override
    public void layerNormDouble(Buffer out1, Buffer out2, Buffer mean, Buffer rstd, Buffer x,
            Buffer weight1, Buffer bias1, Buffer weight2, Buffer bias2, float epsilon, int rows,
            int columns) {
        device.enter();
        norms.forward(out1, out2, mean, rstd, x, weight1, bias1, weight2, bias2, epsilon, rows,
                columns);
    }

    @Override
    public void layerNormBackward(Buffer dx, Buffer dWeight, Buffer dBias,
            @Nullable Buffer dResidual, Buffer dOut, Buffer x, Buffer mean, Buffer rstd,
            Buffer weight, int rows, int columns, boolean accumulate) {
        device.enter();
        norms.backward(dx, dWeight, dBias, dResidual, dOut, x, mean, rstd, weight, rows, columns,
                accumulate);
    }

    @Override
    public void layerNormDoubleBackward(Buffer dx, Buffer dWeight1, Buffer dBias1, Buffer dWeight2,
            Buffer dBias2, Buffer dResidual, Buffer dOut1, Buffer dOut2, Buffer x, Buffer mean,
            Buffer rstd, Buffer weight1, Buffer weight2, int rows, int columns,
            boolean accumulate) {
        device.enter();
        norms.backward(dx, dWeight1, dBias1, dWeight2, dBias2, dResidual, dOut1, dOut2, x, mean,
                rstd, weight1, weight2, rows, columns, accumulate);
    }

    @Override
    public void rotary(Buffer qkv, Buffer table, boolean inverse, int batch, int sequence,
            int heads, int dimension, int rotaryDimensions) {
        device.enter();
        if (rotaryDimensions == 0) {
            return;
        }
        long pairs = (long) batch * sequence * heads * rotaryDimensions;
        launcher.of(rotary.of(qkv.type())).buffer(qkv).buffer(table).flag(inverse).i32(batch)
                .i32(sequence).i32(heads).i32(dimension).i32(rotaryDimensions)
                .launch(Grids.blocks(pairs, Grids.THREADS, Grids.MOST_Y), Grids.THREADS);
    }

    @Override
    public void attention(Buffer out, Buffer lse, Buffer qkv, int batch, int sequence, int heads,
            int dimension) {
        device.enter();
        attention.forward(out, lse, qkv, batch, sequence, heads, dimension);
    }

    @Override
    public void attentionBackward(Buffer dQkv, Buffer dOut, Buffer out, Buffer lse, Buffer qkv,
            int batch, int sequence, int heads, int dimension) {
        device.enter();
        attention.backward(dQkv, dOut, out, lse, qkv, batch, sequence, heads, dimension);
    }

    @Override
    public void gelu(Buffer out, Buffer x, boolean tanh, long count) {
        device.enter();
        launcher.of(gelu.of(Grids.same("gelu", out, x))).buffer(out).buffer(x).flag(tanh).i64(count)
                .launch(Grids.pieces(count), Grids.THREADS);
    }

    @Override
    public void geluBackward(Buffer dx, Buffer dOut, Buffer x, boolean tanh, long count) {
        device.enter();
        Grids.same("geluBackward", dx, dOut);
        launcher.of(geluBackward.of(Grids.same("geluBackward", dx, x))).buffer(dx).buffer(dOut)
                .buffer(x).flag(tanh).i64(count).launch(Grids.pieces(count), Grids.THREADS);
    }

    @Override
    public void biasGradient(
            Buffer dBias, Buffer dOut, int rows, int columns, boolean accumulate) {
        device.enter();
        norms.biasGradient(dBias, dOut, rows, columns, accumulate);
    }

    @Override
    public void residual(Buffer out, Buffer x, Buffer[] partials, Buffer bias1,
            @Nullable Buffer bias2, int copies, int rows, int columns) {
        device.enter();
        Grids.same("residual", x, bias1);
        launcher.of((partials.length == 1 ? residualOfOne : residual)
                .of(Grids.same("residual", out, x))).buffer(out).buffer(x)
                .buffers(partials, MOST_PARTIALS).i32(partials.length).buffer(bias1).buffer(bias2).i32(copies)
                .i32(rows).i32(columns)
                .launch(Grids.pieces((long) rows * columns), Grids.THREADS);
    }

    @Override
    public void sumPartials(Buffer out, Buffer[] partials, long count) {
        device.enter();
        launcher.of(sumPartials.of(out.type())).buffer(out).buffers(partials, MOST_PARTIALS)
                .i32(partials.length).i64(count).launch(Grids.pieces(count), Grids.THREADS);
    }

    @Override
    public void softmaxPartial(Buffer logits, Buffer max, Buffer sum, Buffer target, Buffer labels,
            int first, int rows, int vocabulary) {
        device.enter();
        crossEntropy.partial(logits, max, sum, target, labels, first, rows, vocabulary);
    }

    @Override
    public void softmaxJoin(
            Buffer loss, Buffer[] factor, Buffer[] max, Buffer[] sum, Buffer target, int rows) {
        device.enter();
        crossEntropy.join(loss, factor, max, sum, target, rows);
    }

    @Override
    public void softmaxGradient(Buffer dLogits, Buffer logits, Buffer max, Buffer factor,
            Buffer labels, float scale, int first, int rows, int vocabulary) {
        device.enter();
        crossEntropy.gradient(
                dLogits, logits, max, factor, labels, scale, first, rows, vocabulary);
    }

    @Override
    public void add(Buffer out, Buffer x, long count) {
        device.enter();
        launcher.of(add).buffer(out).buffer(x).i64(count)
                .launch(Grids.pieces(count), Grids.THREADS);
    }

    @Override
    public void cast(Buffer out, Buffer x, long count) {
        device.enter();
        KernelFunctions.Typed to = casts.get(out.type());
        if (to == null) {
            throw new IllegalArgumentException("no cast to " + out.type());
        }
        launcher.of(to.of(x.type())).buffer(out).buffer(x).i64(count)
                .launch(Grids.pieces(count), Grids.THREADS);
    }

    @Override
    public void zero(Buffer out, long count) {
        device.enter();
        device.clear(out.segment().address(), count * out.type().bytes());
    }

    @Override
    public void sumsOfSquares(double[] sums, Buffer[] x) {
        device.enter();
        optimizer.sumsOfSquares(sums, x);
    }

    @Override
    public void adamW(Buffer[] weight, Buffer[] first, Buffer[] second, Buffer[] compute,
            Buffer[] gradient, AdamW[] scalars, long[] position, DigestSum[] sum) {
        device.enter();
        optimizer.adamW(weight, first, second, compute, gradient, scalars, position, sum);
    }

    @Override
    public void digest(Buffer weight, Buffer first, Buffer second, long position, long count,
            DigestSum sum) {
        device.enter();
        optimizer.digest(weight, first, second, position, count, sum);
    }

    @Override
    public void normal(Buffer out, double std, long seed, int tensor, int firstRow,
            int firstColumn, int tensorColumns, int rows, int columns) {
        device.enter();
        optimizer.normal(out, std, seed, tensor, firstRow, firstColumn, tensorColumns, rows,
                columns);
    }

    @Override
    public void fill(Buffer out, float value, long count) {
        device.enter();
        launcher.of(fill.of(out.type())).buffer(out).f32(value).i64(count)
                .launch(Grids.pieces(count), Grids.THREADS);
    }
}
