package castalia.kernels.reference;

import castalia.kernels.AdamW;
import castalia.kernels.Buffer;
import castalia.kernels.DigestSum;
import castalia.kernels.Kernels;
import castalia.kernels.MatmulShape;
import java.util.List;
import org.jspecify.annotations.Nullable;

/**
 * Every operation as plain loops, one family per class. Sums and functions are F64, rounded once to
 * the output's type, so that this is the answer other back ends are held to. The operations that
 * {@code numerics.md} defines to the bit (embedding, rotary, residual, partial sums, casts, norms,
 * AdamW, digest, initial values) follow it in F32, so that others must equal them.
 *
 * <p>A buffer may be F32, BF16, F16 or F64, each on its own: with F64 everywhere a whole model runs in
 * double precision. Buffers may be longer than needed; a shorter one is refused before anything is
 * written. No call allocates device memory; small Java objects it does.
 */
public final class ReferenceKernels implements Kernels {

    private final Attention attention = new Attention();
    private final Optimizer optimizer = new Optimizer();

    @Override
    public void prepare(List<MatmulShape> shapes) {
        // Plain loops need no preparation.
    }

    @Override
    public void matmul(
            MatmulShape shape, Buffer out, Buffer a, Buffer b, @Nullable Buffer bias) {
        Products.matmul(shape, out, a, b, bias);
    }

    @Override
    public void matmulGelu(MatmulShape shape, Buffer out, Buffer x, Buffer a, Buffer b, Buffer bias,
            boolean tanh, boolean ofRounded) {
        Elements.numbers("out", out, (long) shape.m() * shape.n());
        Kernels.super.matmulGelu(shape, out, x, a, b, bias, tanh, ofRounded);
    }

    @Override
    public void matmulGeluBackward(
            MatmulShape shape, Buffer dx, Buffer dOut, Buffer weight, Buffer x, boolean tanh) {
        Elements.numbers("x", x, (long) shape.m() * shape.n());
        Kernels.super.matmulGeluBackward(shape, dx, dOut, weight, x, tanh);
    }

    @Override
    public void embedding(Buffer out, Buffer tokens, Buffer weight, int first, int rows,
            int columns, int vocabulary) {
        Products.embedding(out, tokens, weight, first, rows, columns, vocabulary);
    }

    @Override
    public void selectRows(Buffer out, Buffer x, Buffer tokens, int first, int rows, int columns,
            int vocabulary) {
        Products.selectRows(out, x, tokens, first, rows, columns, vocabulary);
    }

    @Override
    public void embeddingBackward(Buffer dWeight, Buffer dOut, Buffer tokens, int first, int rows,
            int columns, int vocabulary, boolean accumulate) {
        Products.embeddingBackward(dWeight, dOut, tokens, first, rows, columns, vocabulary,
                accumulate);
    }

    @Override
    public void layerNorm(Buffer out, Buffer mean, Buffer rstd, Buffer x, Buffer weight,
            Buffer bias, float epsilon, int rows, int columns) {
        Norms.layerNorm(out, mean, rstd, x, weight, bias, epsilon, rows, columns);
    }

    @Override
    public void layerNormDouble(Buffer out1, Buffer out2, Buffer mean, Buffer rstd, Buffer x,
            Buffer weight1, Buffer bias1, Buffer weight2, Buffer bias2, float epsilon, int rows,
            int columns) {
        Norms.layerNormDouble(out1, out2, mean, rstd, x, weight1, bias1, weight2, bias2, epsilon,
                rows, columns);
    }

    @Override
    public void layerNormBackward(Buffer dx, Buffer dWeight, Buffer dBias,
            @Nullable Buffer dResidual, Buffer dOut, Buffer x, Buffer mean, Buffer rstd,
            Buffer weight, int rows, int columns, boolean accumulate) {
        Norms.layerNormBackward(dx, dWeight, dBias, dResidual, dOut, x, mean, rstd, weight, rows,
                columns, accumulate);
    }

    @Override
    public void layerNormDoubleBackward(Buffer dx, Buffer dWeight1, Buffer dBias1, Buffer dWeight2,
            Buffer dBias2, Buffer dResidual, Buffer dOut1, Buffer dOut2, Buffer x, Buffer mean,
            Buffer rstd, Buffer weight1, Buffer weight2, int rows, int columns,
            boolean accumulate) {
        Norms.layerNormDoubleBackward(dx, dWeight1, dBias1, dWeight2, dBias2, dResidual, dOut1,
                dOut2, x, mean, rstd, weight1, weight2, rows, columns, accumulate);
    }

    @Override
    public void rotary(Buffer qkv, Buffer table, boolean inverse, int batch, int sequence,
            int heads, int dimension, int rotary) {
        Attention.rotary(qkv, table, inverse, batch, sequence, heads, dimension, rotary);
    }

    @Override
    public void attention(Buffer out, Buffer lse, Buffer qkv, int batch, int sequence, int heads,
            int dimension) {
        attention.attention(out, lse, qkv, batch, sequence, heads, dimension);
    }

    @Override
    public void attentionBackward(Buffer dQkv, Buffer dOut, Buffer out, Buffer lse, Buffer qkv,
            int batch, int sequence, int heads, int dimension) {
        attention.attentionBackward(dQkv, dOut, out, lse, qkv, batch, sequence, heads, dimension);
    }

    @Override
    public void gelu(Buffer out, Buffer x, boolean tanh, long count) {
        Pointwise.gelu(out, x, tanh, count);
    }

    @Override
    public void geluBackward(Buffer dx, Buffer dOut, Buffer x, boolean tanh, long count) {
        Pointwise.geluBackward(dx, dOut, x, tanh, count);
    }

    @Override
    public void biasGradient(Buffer dBias, Buffer dOut, int rows, int columns, boolean accumulate) {
        Products.biasGradient(dBias, dOut, rows, columns, accumulate);
    }

    @Override
    public void residual(Buffer out, Buffer x, Buffer[] partials, Buffer bias1,
            @Nullable Buffer bias2, int copies, int rows, int columns) {
        Pointwise.residual(out, x, partials, bias1, bias2, copies, rows, columns);
    }

    @Override
    public void sumPartials(Buffer out, Buffer[] partials, long count) {
        Pointwise.sumPartials(out, partials, count);
    }

    @Override
    public void softmaxPartial(Buffer logits, Buffer max, Buffer sum, Buffer target, Buffer labels,
            int first, int rows, int vocabulary) {
        CrossEntropy.softmaxPartial(logits, max, sum, target, labels, first, rows, vocabulary);
    }

    @Override
    public void softmaxJoin(Buffer loss, Buffer[] factor, Buffer[] max, Buffer[] sum,
            Buffer target, int rows) {
        CrossEntropy.softmaxJoin(loss, factor, max, sum, target, rows);
    }

    @Override
    public void softmaxGradient(Buffer dLogits, Buffer exponentials, Buffer max, Buffer factor,
            Buffer labels, float scale, int first, int rows, int vocabulary) {
        CrossEntropy.softmaxGradient(dLogits, exponentials, max, factor, labels, scale, first, rows,
                vocabulary);
    }

    @Override
    public void add(Buffer out, Buffer x, long count) {
        Pointwise.add(out, x, count);
    }

    @Override
    public void cast(Buffer out, Buffer x, long count) {
        Pointwise.cast(out, x, count);
    }

    @Override
    public void zero(Buffer out, long count) {
        Pointwise.zero(out, count);
    }

    @Override
    public void sumsOfSquares(double[] sums, Buffer[] x) {
        Optimizer.requireAlike("sums", sums.length, x.length);
        for (int i = 0; i < x.length; i++) {
            sums[i] = optimizer.sumOfSquares(x[i], x[i].elements());
        }
    }

    @Override
    public void adamW(Buffer[] weight, Buffer[] first, Buffer[] second, Buffer[] compute,
            Buffer[] gradient, AdamW[] scalars, long[] position, DigestSum[] digest) {
        for (int others : new int[] {first.length, second.length, compute.length, gradient.length,
            scalars.length, position.length, digest.length}) {
            Optimizer.requireAlike("chunks", others, weight.length);
        }
        for (int i = 0; i < weight.length; i++) {
            Optimizer.adamW(weight[i], first[i], second[i], compute[i], gradient[i], scalars[i],
                    position[i], weight[i].elements(), digest[i]);
        }
    }

    @Override
    public void digest(Buffer weight, Buffer first, Buffer second, long position, long count,
            DigestSum digest) {
        Optimizer.digest(weight, first, second, position, count, digest);
    }

    @Override
    public void normal(Buffer out, double std, long seed, int tensor, int firstRow, int firstColumn,
            int tensorColumns, int rows, int columns) {
        Optimizer.normal(out, std, seed, tensor, firstRow, firstColumn, tensorColumns, rows,
                columns);
    }

    @Override
    public void fill(Buffer out, float value, long count) {
        Pointwise.fill(out, value, count);
    }
}
