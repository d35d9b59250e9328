package castalia.kernels.check;

import castalia.kernels.AdamW;
import castalia.kernels.Buffer;
import castalia.kernels.DType;
import castalia.kernels.DigestSum;
import castalia.kernels.Kernels;
import castalia.kernels.MatmulShape;
import java.util.List;
import org.jspecify.annotations.Nullable;

/**
 * Refuses arguments that do not fit before anything is computed, and hands the others to a back
 * end's operations. Allocates nothing.
 */
public final class CheckedKernels implements Kernels {

    private final Kernels kernels;

    /** @param kernels what computes; its memory is native */
    public CheckedKernels(Kernels kernels) {
        this.kernels = kernels;
    }

    @Override
    public void prepare(List<MatmulShape> shapes) {
        kernels.prepare(shapes);
    }

    @Override
    public void matmul(
            MatmulShape shape, Buffer out, Buffer a, Buffer b, @Nullable Buffer bias) {
        Check.product(shape, out, a, b, bias);
        kernels.matmul(shape, out, a, b, bias);
    }

    @Override
    public void matmulGelu(MatmulShape shape, Buffer out, Buffer x, Buffer a, Buffer b, Buffer bias,
            boolean tanh, boolean ofRounded) {
        Check.besideGelu("matmulGelu", shape, true, out, x);
        Check.product(shape, x, a, b, bias);
        Check.product(shape, out, a, b, bias);
        kernels.matmulGelu(shape, out, x, a, b, bias, tanh, ofRounded);
    }

    @Override
    public void matmulGeluBackward(
            MatmulShape shape, Buffer dx, Buffer dOut, Buffer weight, Buffer x, boolean tanh) {
        Check.besideGelu("matmulGeluBackward", shape, false, dx, x);
        Check.product(shape, dx, dOut, weight, null);
        kernels.matmulGeluBackward(shape, dx, dOut, weight, x, tanh);
    }

    private static long matrix(String operation, int rows, int columns) {
        Check.positive(operation, "rows", rows);
        Check.positive(operation, "columns", columns);
        return (long) rows * columns;
    }

    @Override
    public void embedding(Buffer out, Buffer tokens, Buffer weight, int first, int rows,
            int columns, int vocabulary) {
        String name = "embedding";
        Check.numbers(name, "out", out, matrix(name, rows, columns));
        Check.typed(name, "tokens", tokens, DType.I32, rows);
        Check.typed(name, "weight", weight, out.type(), matrix(name, vocabulary, columns));
        Check.apart(name, "out", out, "weight", weight);
        kernels.embedding(out, tokens, weight, first, rows, columns, vocabulary);
    }

    @Override
    public void selectRows(Buffer out, Buffer x, Buffer tokens, int first, int rows, int columns,
            int vocabulary) {
        String name = "selectRows";
        Check.numbers(name, "out", out, matrix(name, rows, columns));
        Check.typed(name, "x", x, out.type(), (long) rows * columns);
        Check.typed(name, "tokens", tokens, DType.I32, rows);
        Check.apart(name, "out", out, "x", x);
        kernels.selectRows(out, x, tokens, first, rows, columns, vocabulary);
    }

    @Override
    public void embeddingBackward(Buffer dWeight, Buffer dOut, Buffer tokens, int first, int rows,
            int columns, int vocabulary, boolean accumulate) {
        String name = "embeddingBackward";
        Check.f32(name, "dWeight", dWeight, matrix(name, vocabulary, columns));
        Check.numbers(name, "dOut", dOut, matrix(name, rows, columns));
        Check.typed(name, "tokens", tokens, DType.I32, rows);
        Check.apart(name, "dWeight", dWeight, "dOut", dOut);
        kernels.embeddingBackward(dWeight, dOut, tokens, first, rows, columns, vocabulary,
                accumulate);
    }

    @Override
    public void layerNorm(Buffer out, Buffer mean, Buffer rstd, Buffer x, Buffer weight,
            Buffer bias, float epsilon, int rows, int columns) {
        normChecks("layerNorm", mean, rstd, x, rows, columns);
        normParameters("layerNorm", out, x, weight, bias, rows, columns);
        kernels.layerNorm(out, mean, rstd, x, weight, bias, epsilon, rows, columns);
    }

    @Override
    public void layerNormDouble(Buffer out1, Buffer out2, Buffer mean, Buffer rstd, Buffer x,
            Buffer weight1, Buffer bias1, Buffer weight2, Buffer bias2, float epsilon, int rows,
            int columns) {
        String name = "layerNormDouble";
        normChecks(name, mean, rstd, x, rows, columns);
        normParameters(name, out1, x, weight1, bias1, rows, columns);
        normParameters(name, out2, x, weight2, bias2, rows, columns);
        Check.sameType(name, "out1", out1, "out2", out2);
        Check.sameType(name, "weight1", weight1, "weight2", weight2);
        kernels.layerNormDouble(out1, out2, mean, rstd, x, weight1, bias1, weight2, bias2,
                epsilon, rows, columns);
    }

    private static void normChecks(
            String name, Buffer mean, Buffer rstd, Buffer x, int rows, int columns) {
        Check.numbers(name, "x", x, matrix(name, rows, columns));
        Check.f32(name, "mean", mean, rows);
        Check.f32(name, "rstd", rstd, rows);
    }

    private static void normParameters(String name, Buffer out, Buffer x,
            Buffer weight, Buffer bias, int rows, int columns) {
        Check.numbers(name, "out", out, (long) rows * columns);
        Check.numbers(name, "weight", weight, columns);
        Check.typed(name, "bias", bias, weight.type(), columns);
        Check.apart(name, "out", out, "x", x);
    }

    @Override
    public void layerNormBackward(Buffer dx, Buffer dWeight, Buffer dBias,
            @Nullable Buffer dResidual, Buffer dOut, Buffer x, Buffer mean, Buffer rstd,
            Buffer weight, int rows, int columns, boolean accumulate) {
        String name = "layerNormBackward";
        normChecks(name, mean, rstd, x, rows, columns);
        normBackwardChecks(name, dx, dResidual, x, rows, columns);
        normGradients(name, dWeight, dBias, dOut, weight, rows, columns);
        kernels.layerNormBackward(dx, dWeight, dBias, dResidual, dOut, x, mean, rstd,
                weight, rows, columns, accumulate);
    }

    @Override
    public void layerNormDoubleBackward(Buffer dx, Buffer dWeight1, Buffer dBias1, Buffer dWeight2,
            Buffer dBias2, Buffer dResidual, Buffer dOut1, Buffer dOut2, Buffer x, Buffer mean,
            Buffer rstd, Buffer weight1, Buffer weight2, int rows, int columns,
            boolean accumulate) {
        String name = "layerNormDoubleBackward";
        normChecks(name, mean, rstd, x, rows, columns);
        normBackwardChecks(name, dx, dResidual, x, rows, columns);
        normGradients(name, dWeight1, dBias1, dOut1, weight1, rows, columns);
        normGradients(name, dWeight2, dBias2, dOut2, weight2, rows, columns);
        Check.sameType(name, "dOut1", dOut1, "dOut2", dOut2);
        Check.sameType(name, "weight1", weight1, "weight2", weight2);
        kernels.layerNormDoubleBackward(dx, dWeight1, dBias1, dWeight2, dBias2, dResidual,
                dOut1, dOut2, x, mean, rstd, weight1, weight2, rows, columns, accumulate);
    }

    private static void normBackwardChecks(
            String name, Buffer dx, @Nullable Buffer dResidual, Buffer x, int rows, int columns) {
        Check.numbers(name, "dx", dx, (long) rows * columns);
        if (dResidual != null) {
            Check.numbers(name, "dResidual", dResidual, (long) rows * columns);
        }
        Check.apart(name, "dx", dx, "x", x);
    }

    private static void normGradients(String name, Buffer dWeight, Buffer dBias, Buffer dOut,
            Buffer weight, int rows, int columns) {
        Check.f32(name, "dWeight", dWeight, columns);
        Check.f32(name, "dBias", dBias, columns);
        Check.numbers(name, "dOut", dOut, (long) rows * columns);
        Check.numbers(name, "weight", weight, columns);
    }

    @Override
    public void rotary(Buffer qkv, Buffer table, boolean inverse, int batch, int sequence,
            int heads, int dimension, int rotaryDimensions) {
        String name = "rotary";
        long tokens = tokens(name, batch, sequence, heads, dimension);
        if (rotaryDimensions < 0 || rotaryDimensions % 2 != 0 || rotaryDimensions > dimension) {
            throw new IllegalArgumentException("rotary: " + rotaryDimensions + " of " + dimension
                    + " dimensions; an even number up to that is possible");
        }
        Check.numbers(name, "qkv", qkv, 3 * tokens * heads * dimension);
        Check.f32(name, "table", table, (long) sequence * rotaryDimensions);
        kernels.rotary(qkv, table, inverse, batch, sequence, heads, dimension, rotaryDimensions);
    }

    /** Tokens of a micro-batch, checked to be few enough for 32-bit row numbers. */
    private static long tokens(String name, int batch, int sequence, int heads, int dimension) {
        Check.positive(name, "batch", batch);
        Check.positive(name, "sequence", sequence);
        Check.positive(name, "heads", heads);
        Check.positive(name, "dimension", dimension);
        long tokens = (long) batch * sequence;
        if (tokens > Integer.MAX_VALUE || 3L * heads * dimension > Integer.MAX_VALUE) {
            throw new IllegalArgumentException(name + ": " + batch + " x " + sequence
                    + " tokens of " + heads + " heads of " + dimension);
        }
        return tokens;
    }

    @Override
    public void attention(Buffer out, Buffer lse, Buffer qkv, int batch, int sequence, int heads,
            int dimension) {
        String name = "attention";
        long tokens = tokens(name, batch, sequence, heads, dimension);
        Check.numbers(name, "qkv", qkv, 3 * tokens * heads * dimension);
        Check.typed(name, "out", out, qkv.type(), tokens * heads * dimension);
        Check.f32(name, "lse", lse, tokens * heads);
        Check.apart(name, "out", out, "qkv", qkv);
        kernels.attention(out, lse, qkv, batch, sequence, heads, dimension);
    }

    @Override
    public void attentionBackward(Buffer dQkv, Buffer dOut, Buffer out, Buffer lse, Buffer qkv,
            int batch, int sequence, int heads, int dimension) {
        String name = "attentionBackward";
        long tokens = tokens(name, batch, sequence, heads, dimension);
        Check.numbers(name, "qkv", qkv, 3 * tokens * heads * dimension);
        Check.typed(name, "dQkv", dQkv, qkv.type(), 3 * tokens * heads * dimension);
        Check.typed(name, "dOut", dOut, qkv.type(), tokens * heads * dimension);
        Check.typed(name, "out", out, qkv.type(), tokens * heads * dimension);
        Check.f32(name, "lse", lse, tokens * heads);
        Check.apart(name, "dQkv", dQkv, "qkv", qkv);
        Check.apart(name, "dQkv", dQkv, "dOut", dOut);
        kernels.attentionBackward(dQkv, dOut, out, lse, qkv, batch, sequence, heads, dimension);
    }

    @Override
    public void gelu(Buffer out, Buffer x, boolean tanh, long count) {
        Check.count("gelu", count);
        Check.numbers("gelu", "out", out, count);
        Check.numbers("gelu", "x", x, count);
        kernels.gelu(out, x, tanh, count);
    }

    @Override
    public void geluBackward(Buffer dx, Buffer dOut, Buffer x, boolean tanh, long count) {
        Check.count("geluBackward", count);
        Check.numbers("geluBackward", "dx", dx, count);
        Check.numbers("geluBackward", "dOut", dOut, count);
        Check.numbers("geluBackward", "x", x, count);
        kernels.geluBackward(dx, dOut, x, tanh, count);
    }

    @Override
    public void biasGradient(
            Buffer dBias, Buffer dOut, int rows, int columns, boolean accumulate) {
        Check.numbers("biasGradient", "dOut", dOut, matrix("biasGradient", rows, columns));
        Check.f32("biasGradient", "dBias", dBias, columns);
        kernels.biasGradient(dBias, dOut, rows, columns, accumulate);
    }

    @Override
    public void residual(Buffer out, Buffer x, Buffer[] partials, Buffer bias1,
            @Nullable Buffer bias2, int copies, int rows, int columns) {
        String name = "residual";
        long elements = matrix(name, rows, columns);
        Check.numbers(name, "out", out, elements);
        Check.numbers(name, "x", x, elements);
        Check.numbers(name, "bias1", bias1, columns);
        if (bias2 != null) {
            Check.typed(name, "bias2", bias2, bias1.type(), columns);
        }
        partialChecks(name, partials, elements);
        kernels.residual(out, x, partials, bias1, bias2, copies, rows, columns);
    }

    private static void partialChecks(String name, Buffer[] partials, long elements) {
        Check.positive(name, "number of partials", partials.length);
        for (Buffer partial : partials) {
            Check.f32(name, "a partial", partial, elements);
        }
    }

    @Override
    public void sumPartials(Buffer out, Buffer[] partials, long count) {
        Check.count("sumPartials", count);
        Check.numbers("sumPartials", "out", out, count);
        partialChecks("sumPartials", partials, count);
        kernels.sumPartials(out, partials, count);
    }

    @Override
    public void softmaxPartial(Buffer logits, Buffer max, Buffer sum, Buffer target, Buffer labels,
            int first, int rows, int vocabulary) {
        String name = "softmaxPartial";
        Check.f32(name, "logits", logits, matrix(name, rows, vocabulary));
        Check.f32(name, "max", max, rows);
        Check.f32(name, "sum", sum, rows);
        Check.f32(name, "target", target, rows);
        Check.typed(name, "labels", labels, DType.I32, rows);
        kernels.softmaxPartial(logits, max, sum, target, labels, first, rows, vocabulary);
    }

    @Override
    public void softmaxJoin(
            Buffer loss, Buffer[] factor, Buffer[] max, Buffer[] sum, Buffer target, int rows) {
        String name = "softmaxJoin";
        Check.typed(name, "loss", loss, DType.F64, 1);
        int slices = factor.length;
        Check.positive(name, "number of slices", slices);
        if (max.length != slices || sum.length != slices) {
            throw new IllegalArgumentException("softmaxJoin: " + slices + " factors, " + max.length
                    + " maxima and " + sum.length + " sums");
        }
        for (int s = 0; s < slices; s++) {
            Check.f32(name, "a factor", factor[s], rows);
            Check.f32(name, "a max", max[s], rows);
            Check.f32(name, "a sum", sum[s], rows);
        }
        Check.f32(name, "target", target, rows);
        kernels.softmaxJoin(loss, factor, max, sum, target, rows);
    }

    @Override
    public void softmaxGradient(Buffer dLogits, Buffer logits, Buffer max, Buffer factor,
            Buffer labels, float scale, int first, int rows, int vocabulary) {
        String name = "softmaxGradient";
        Check.numbers(name, "dLogits", dLogits, matrix(name, rows, vocabulary));
        Check.f32(name, "logits", logits, (long) rows * vocabulary);
        Check.f32(name, "max", max, rows);
        Check.f32(name, "factor", factor, rows);
        Check.typed(name, "labels", labels, DType.I32, rows);
        if (dLogits.type() != DType.F32) {
            Check.apart(name, "dLogits", dLogits, "logits", logits);
        }
        kernels.softmaxGradient(
                dLogits, logits, max, factor, labels, scale, first, rows, vocabulary);
    }

    @Override
    public void add(Buffer out, Buffer x, long count) {
        Check.count("add", count);
        Check.f32("add", "out", out, count);
        Check.f32("add", "x", x, count);
        kernels.add(out, x, count);
    }

    @Override
    public void cast(Buffer out, Buffer x, long count) {
        Check.count("cast", count);
        Check.numbers("cast", "out", out, count);
        Check.numbers("cast", "x", x, count);
        kernels.cast(out, x, count);
    }

    @Override
    public void zero(Buffer out, long count) {
        Check.count("zero", count);
        Check.numbers("zero", "out", out, count);
        kernels.zero(out, count);
    }

    @Override
    public void sumsOfSquares(double[] sums, Buffer[] x) {
        Check.as("sumsOfSquares", "sums", sums.length, x.length);
        for (Buffer each : x) {
            Check.f32("sumsOfSquares", "x", each, each.elements());
        }
        kernels.sumsOfSquares(sums, x);
    }

    @Override
    public void adamW(Buffer[] weight, Buffer[] first, Buffer[] second, Buffer[] compute,
            Buffer[] gradient, AdamW[] scalars, long[] position, DigestSum[] sum) {
        StateChecks.updates(
                weight, first, second, compute, gradient, scalars.length, position, sum.length);
        kernels.adamW(weight, first, second, compute, gradient, scalars, position, sum);
    }

    @Override
    public void digest(Buffer weight, Buffer first, Buffer second, long position, long count,
            DigestSum sum) {
        StateChecks.state("digest", weight, first, second, position, count);
        kernels.digest(weight, first, second, position, count, sum);
    }

    @Override
    public void normal(Buffer out, double std, long seed, int tensor, int firstRow,
            int firstColumn, int tensorColumns, int rows, int columns) {
        Check.numbers("normal", "out", out, matrix("normal", rows, columns));
        kernels.normal(out, std, seed, tensor, firstRow, firstColumn, tensorColumns, rows, columns);
    }

    @Override
    public void fill(Buffer out, float value, long count) {
        Check.count("fill", count);
        Check.numbers("fill", "out", out, count);
        kernels.fill(out, value, count);
    }
}
