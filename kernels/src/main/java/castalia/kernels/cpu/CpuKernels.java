package castalia.kernels.cpu;

import castalia.kernels.AdamW;
import castalia.kernels.Buffer;
import castalia.kernels.DigestSum;
import castalia.kernels.Kernels;
import castalia.kernels.MatmulShape;
import java.util.List;
import org.jspecify.annotations.Nullable;

/**
 * The operations on host memory, of arguments that were checked. Each is handed to the task that
 * computes; tasks are made once and reused, so calls allocate nothing.
 */
final class CpuKernels implements Kernels {

    private final CpuDevice device;
    private final WorkerPool pool;
    private final Products products;
    private final Attention attention;
    private final LayerNorm.Forward layerNorm;
    private final LayerNorm.Backward layerNormBackward;
    private final GroupFold.Columns columnSums;
    private final Tokens.Lookup lookup = new Tokens.Lookup();
    private final Tokens.Selection selection = new Tokens.Selection();
    private final Tokens.Gradient tokenGradient;
    private final Rotary rotary = new Rotary();
    private final Elementwise geluErf;
    private final Elementwise geluErfBackward;
    private final Elementwise geluTanh;
    private final Elementwise geluTanhBackward;
    private final Elementwise add;
    private final Elementwise cast;
    private final Pointwise.Residual residual;
    private final Pointwise.Fill fill = new Pointwise.Fill();
    private final CrossEntropy.Partial softmaxPartial;
    private final CrossEntropy.Join softmaxJoin = new CrossEntropy.Join();
    private final CrossEntropy.Gradient softmaxGradient;
    private final Optimizer.Update update;
    private final Optimizer.Digest digest;
    private final Optimizer.Squares squares;
    private final Optimizer.Normal normal = new Optimizer.Normal();

    CpuKernels(CpuDevice device, WorkerPool pool, Products products, Scratch scratch) {
        this.device = device;
        this.pool = pool;
        this.products = products;
        attention = new Attention(products, pool, scratch);
        GroupFold fold = new GroupFold();
        layerNorm = new LayerNorm.Forward(scratch);
        layerNormBackward = new LayerNorm.Backward(scratch, fold);
        columnSums = new GroupFold.Columns(scratch, fold);
        tokenGradient = new Tokens.Gradient(scratch);
        geluErf = new Gelu.ErfForward(scratch);
        geluErfBackward = new Gelu.ErfBackward(scratch);
        geluTanh = new Gelu.TanhForward(scratch);
        geluTanhBackward = new Gelu.TanhBackward(scratch);
        add = new Pointwise.Add(scratch);
        cast = new Pointwise.Cast(scratch);
        residual = new Pointwise.Residual(scratch);
        softmaxPartial = new CrossEntropy.Partial(scratch);
        softmaxGradient = new CrossEntropy.Gradient(scratch);
        update = new Optimizer.Update(pool.threads());
        digest = new Optimizer.Digest(pool.threads());
        squares = new Optimizer.Squares(pool.threads());
    }

    @Override
    public void prepare(List<MatmulShape> shapes) {
        device.enter();
        shapes.forEach(products::grid);
    }

    @Override
    public void matmul(
            MatmulShape shape, Buffer out, Buffer a, Buffer b, @Nullable Buffer bias) {
        device.enter();
        products.multiply(shape, out, a, b, bias);
    }

    @Override
    public void embedding(Buffer out, Buffer tokens, Buffer weight, int first, int rows,
            int columns, int vocabulary) {
        device.enter();
        lookup.run(pool, out, tokens, weight, first, rows, columns, vocabulary);
    }

    @Override
    public void selectRows(Buffer out, Buffer x, Buffer tokens, int first, int rows, int columns,
            int vocabulary) {
        device.enter();
        selection.run(pool, out, x, tokens, first, rows, columns, vocabulary);
    }

    @Override
    public void embeddingBackward(Buffer dWeight, Buffer dOut, Buffer tokens, int first, int rows,
            int columns, int vocabulary, boolean accumulate) {
        device.enter();
        tokenGradient.run(
                pool, dWeight, dOut, tokens, first, rows, columns, vocabulary, accumulate);
    }

    @Override
    public void layerNorm(Buffer out, Buffer mean, Buffer rstd, Buffer x, Buffer weight,
            Buffer bias, float epsilon, int rows, int columns) {
        device.enter();
        layerNorm.run(pool, out, null, mean, rstd, x, weight, bias, null, null, epsilon, rows,
                columns);
    }

    @Override
    public void layerNormDouble(Buffer out1, Buffer out2, Buffer mean, Buffer rstd, Buffer x,
            Buffer weight1, Buffer bias1, Buffer weight2, Buffer bias2, float epsilon, int rows,
            int columns) {
        device.enter();
        layerNorm.run(pool, out1, out2, mean, rstd, x, weight1, bias1, weight2, bias2, epsilon,
                rows, columns);
    }

    @Override
    public void layerNormBackward(Buffer dx, Buffer dWeight, Buffer dBias,
            @Nullable Buffer dResidual, Buffer dOut, Buffer x, Buffer mean, Buffer rstd,
            Buffer weight, int rows, int columns, boolean accumulate) {
        device.enter();
        layerNormBackward.run(pool, dx, dWeight, dBias, null, null, dResidual, dOut, null, x, mean,
                rstd, weight, null, rows, columns, accumulate);
    }

    @Override
    public void layerNormDoubleBackward(Buffer dx, Buffer dWeight1, Buffer dBias1, Buffer dWeight2,
            Buffer dBias2, Buffer dResidual, Buffer dOut1, Buffer dOut2, Buffer x, Buffer mean,
            Buffer rstd, Buffer weight1, Buffer weight2, int rows, int columns,
            boolean accumulate) {
        device.enter();
        layerNormBackward.run(pool, dx, dWeight1, dBias1, dWeight2, dBias2, dResidual, dOut1,
                dOut2, x, mean, rstd, weight1, weight2, rows, columns, accumulate);
    }

    @Override
    public void rotary(Buffer qkv, Buffer table, boolean inverse, int batch, int sequence,
            int heads, int dimension, int rotaryDimensions) {
        device.enter();
        rotary.run(
                pool, qkv, table, inverse, batch, sequence, heads, dimension, rotaryDimensions);
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
        (tanh ? geluTanh : geluErf).run(pool, out, x, count);
    }

    @Override
    public void geluBackward(Buffer dx, Buffer dOut, Buffer x, boolean tanh, long count) {
        device.enter();
        (tanh ? geluTanhBackward : geluErfBackward).run(pool, dx, dOut, x, count);
    }

    @Override
    public void biasGradient(
            Buffer dBias, Buffer dOut, int rows, int columns, boolean accumulate) {
        device.enter();
        columnSums.run(pool, dBias, dOut, rows, columns, accumulate);
    }

    @Override
    public void residual(Buffer out, Buffer x, Buffer[] partials, Buffer bias1,
            @Nullable Buffer bias2, int copies, int rows, int columns) {
        device.enter();
        residual.residual(pool, out, x, partials, bias1, bias2, copies, rows, columns);
    }

    @Override
    public void sumPartials(Buffer out, Buffer[] partials, long count) {
        device.enter();
        residual.sum(pool, out, partials, count);
    }

    @Override
    public void softmaxPartial(Buffer logits, Buffer max, Buffer sum, Buffer target, Buffer labels,
            int first, int rows, int vocabulary) {
        device.enter();
        softmaxPartial.run(pool, logits, max, sum, target, labels, first, rows, vocabulary);
    }

    @Override
    public void softmaxJoin(
            Buffer loss, Buffer[] factor, Buffer[] max, Buffer[] sum, Buffer target, int rows) {
        device.enter();
        softmaxJoin.run(loss, factor, max, sum, target, rows);
    }

    @Override
    public void softmaxGradient(Buffer dLogits, Buffer exponentials, Buffer max, Buffer factor,
            Buffer labels, float scale, int first, int rows, int vocabulary) {
        device.enter();
        softmaxGradient.run(
                pool, dLogits, exponentials, factor, labels, scale, first, rows, vocabulary);
    }

    @Override
    public void add(Buffer out, Buffer x, long count) {
        device.enter();
        add.run(pool, out, out, x, count);
    }

    @Override
    public void cast(Buffer out, Buffer x, long count) {
        device.enter();
        cast.run(pool, out, x, count);
    }

    @Override
    public void zero(Buffer out, long count) {
        device.enter();
        fill.run(pool, out, 0f, count);
    }

    @Override
    public void sumsOfSquares(double[] sums, Buffer[] x) {
        device.enter();
        squares.run(pool, sums, x);
    }

    @Override
    public void adamW(Buffer[] weight, Buffer[] first, Buffer[] second, Buffer[] compute,
            Buffer[] gradient, AdamW[] scalars, long[] position, DigestSum[] sum) {
        device.enter();
        for (int i = 0; i < weight.length; i++) {
            update.run(pool, weight[i], first[i], second[i], compute[i], gradient[i], scalars[i],
                    position[i], weight[i].elements(), sum[i]);
        }
    }

    @Override
    public void digest(Buffer weight, Buffer first, Buffer second, long position, long count,
            DigestSum sum) {
        device.enter();
        digest.run(pool, weight, first, second, position, count, sum);
    }

    @Override
    public void normal(Buffer out, double std, long seed, int tensor, int firstRow,
            int firstColumn, int tensorColumns, int rows, int columns) {
        device.enter();
        normal.run(pool, out, std, seed, tensor, firstRow, firstColumn, tensorColumns, rows,
                columns);
    }

    @Override
    public void fill(Buffer out, float value, long count) {
        device.enter();
        fill.run(pool, out, value, count);
    }
}
