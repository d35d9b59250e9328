package castalia.kernels;

import java.util.List;
import org.jspecify.annotations.Nullable;

/**
 * The operations of training a GPT-NeoX model. Every back end gives the result of
 * {@code castalia.kernels.reference}, to rounding; {@code numerics.md} says per operation which
 * types, which order and which rounding are law.
 *
 * <p>Legend: R rows = tokens of a micro-batch (B sequences of S), C columns = width, H heads of a
 * tensor slice, D head dimension, V vocabulary rows of a tensor slice. Matrices are row-major.
 * Activations and parameters have the compute type (F32, BF16 or F16); row statistics, partial sums and
 * parameter gradients are F32. Outputs come first, inputs next, sizes last; a gradient is named
 * {@code d} and the value's name.
 *
 * <p>Law of accumulation: a parameter's gradient is written when {@code accumulate} is false and
 * added to, by one addition of the micro-batch's finished sum, when it is true. Gradients of
 * activations are written, except where a name ends in {@code Add}.
 *
 * <p>No call allocates memory once its shape was seen; {@link #prepare} makes that so beforehand.
 * No call reads or writes outside the buffers it is given; sizes are checked.
 */
public interface Kernels {

    /**
     * Rows per group of column sums: bias and layer norm gradients fold groups in ascending order.
     */
    int ROW_GROUP = 128;

    /** Prepares the products of a run, so that no step pays for it. */
    void prepare(List<MatmulShape> shapes);

    /**
     * {@code out = a * b (+ bias) (+ out)}; see {@link MatmulShape}. {@code bias} is ignored unless
     * the shape has one.
     */
    void matmul(MatmulShape shape, Buffer out, Buffer a, Buffer b, @Nullable Buffer bias);

    /**
     * Looks tokens up: {@code out (R, C)} row r is row {@code tokens[r] - first} of
     * {@code weight (V, C)} where the token lies in [first, first + V), and stays as it is
     * elsewhere. A negative zero becomes a positive one, as a sum over slices would make it.
     */
    void embedding(Buffer out, Buffer tokens, Buffer weight, int first, int rows, int columns,
            int vocabulary);

    /**
     * Copies, bit for bit, row r of {@code x (R, C)} to row r of {@code out (R, C)} where {@code
     * tokens[r]} lies in [first, first + V); other rows stay as they are. Puts together what
     * several devices looked up in their vocabulary slices.
     */
    void selectRows(Buffer out, Buffer x, Buffer tokens, int first, int rows, int columns,
            int vocabulary);

    /**
     * Adds each row of {@code dOut (R, C)} to its token's row of {@code dWeight (V, C)}, in
     * ascending order of rows. Not accumulating, {@code dWeight} is zeroed first.
     */
    void embeddingBackward(Buffer dWeight, Buffer dOut, Buffer tokens, int first, int rows,
            int columns, int vocabulary, boolean accumulate);

    /**
     * Layer norm of every row: {@code out = (x - mean) * rstd * weight + bias}; mean and rstd (R)
     * are kept.
     */
    void layerNorm(Buffer out, Buffer mean, Buffer rstd, Buffer x, Buffer weight, Buffer bias,
            float epsilon, int rows, int columns);

    /** Two layer norms of the same input, which share mean and rstd: the parallel residual's. */
    void layerNormDouble(Buffer out1, Buffer out2, Buffer mean, Buffer rstd, Buffer x,
            Buffer weight1, Buffer bias1, Buffer weight2, Buffer bias2, float epsilon, int rows,
            int columns);

    /**
     * {@code dx = dResidual + (gradient of the layer norm at dOut)}, rounded once; {@code dx} may
     * be {@code dResidual}. Parameter gradients sum rows by groups of {@link #ROW_GROUP}. {@code
     * dResidual} may be {@code null} for none.
     */
    void layerNormBackward(Buffer dx, Buffer dWeight, Buffer dBias, @Nullable Buffer dResidual,
            Buffer dOut, Buffer x, Buffer mean, Buffer rstd, Buffer weight, int rows, int columns,
            boolean accumulate);

    /**
     * {@code dx = dResidual + LN1'(dOut1) + LN2'(dOut2)}, rounded once; as {@link
     * #layerNormBackward}.
     */
    void layerNormDoubleBackward(Buffer dx, Buffer dWeight1, Buffer dBias1, Buffer dWeight2,
            Buffer dBias2, Buffer dResidual, Buffer dOut1, Buffer dOut2, Buffer x, Buffer mean,
            Buffer rstd, Buffer weight1, Buffer weight2, int rows, int columns, boolean accumulate);

    /**
     * Rotates the first {@code rotary} dimensions of Q and K in place. {@code qkv (R, H, 3, D)};
     * {@code table (S, rotary)} F32 holds rotary/2 cosines, then rotary/2 sines, of each position.
     * The backward pass is the inverse rotation.
     */
    void rotary(Buffer qkv, Buffer table, boolean inverse, int batch, int sequence, int heads,
            int dimension, int rotary);

    /**
     * Causal attention: {@code out (R, H, D)} and, kept for the backward pass, the logarithm of
     * each row's sum of exponentials {@code lse (B, H, S)} F32, from {@code qkv (R, H, 3, D)}.
     * Scores are scaled by 1/sqrt(D).
     */
    void attention(Buffer out, Buffer lse, Buffer qkv, int batch, int sequence, int heads,
            int dimension);

    /** {@code dQkv (R, H, 3, D)} from {@code dOut (R, H, D)}. */
    void attentionBackward(Buffer dQkv, Buffer dOut, Buffer out, Buffer lse, Buffer qkv, int batch,
            int sequence, int heads, int dimension);

    /** {@code out = gelu(x)}; {@code tanh} chooses the form. */
    void gelu(Buffer out, Buffer x, boolean tanh, long count);

    /** {@code dx = dOut * gelu'(x)}; {@code dx} may be {@code dOut}. */
    void geluBackward(Buffer dx, Buffer dOut, Buffer x, boolean tanh, long count);

    /**
     * {@code x = a * b + bias} and {@code out = gelu(x)}, both (M, N) and of the result's type, where
     * {@code shape} is the product's, has a bias, a result without gaps and no accumulation. A back end
     * may take GELU of the sum before it is rounded to {@code x}, but not if {@code ofRounded}: then
     * {@code out} is what {@link #gelu} gives of {@code x}. {@code x} has the same bits either way.
     */
    default void matmulGelu(MatmulShape shape, Buffer out, Buffer x, Buffer a, Buffer b, Buffer bias,
            boolean tanh, boolean ofRounded) {
        matmul(shape, x, a, b, bias);
        gelu(out, x, tanh, (long) shape.m() * shape.n());
    }

    /**
     * {@code dx = (dOut * weight) * gelu'(x)}, where {@code shape} is the product's, has a result
     * without gaps and neither bias nor accumulation, and {@code x (M, N)} has the result's type: the
     * gradient before a GELU and the product behind it. The product may be rounded by itself.
     */
    default void matmulGeluBackward(
            MatmulShape shape, Buffer dx, Buffer dOut, Buffer weight, Buffer x, boolean tanh) {
        matmul(shape, dx, dOut, weight, null);
        geluBackward(dx, dx, x, tanh, (long) shape.m() * shape.n());
    }

    /**
     * {@code dBias (C)}: column sums of {@code dOut (R, C)} by groups of {@link #ROW_GROUP} rows.
     */
    void biasGradient(Buffer dBias, Buffer dOut, int rows, int columns, boolean accumulate);

    /**
     * {@code out (R, C) = round(x + (tree(partials) + copies * bias1 + copies * bias2))}: the one
     * rounding of a residual addition. {@code partials} are T matrices F32, summed by the canonical
     * tree; {@code bias2} may be {@code null}. {@code out} may be {@code x}.
     */
    void residual(Buffer out, Buffer x, Buffer[] partials, Buffer bias1, @Nullable Buffer bias2,
            int copies, int rows, int columns);

    /**
     * {@code out = round(tree(partials))}: the sum of T partials F32, rounded once to the type of
     * {@code out}, which may be one of the partials.
     */
    void sumPartials(Buffer out, Buffer[] partials, long count);

    /**
     * First pass of softmax cross-entropy over one vocabulary slice: per row of {@code logits (R, V)}
     * F32 {@code max}, {@code sum} (R) of {@code exp(logit - max)}, and {@code target} (R): the
     * target's logit where the label lies in [first, first + V), unchanged elsewhere. The logits
     * become those exponentials in place, or stay where computing them again is cheaper than memory:
     * only {@link #softmaxGradient} of the same back end reads them.
     */
    void softmaxPartial(Buffer logits, Buffer max, Buffer sum, Buffer target, Buffer labels,
            int first, int rows, int vocabulary);

    /**
     * Joins the statistics of parts of the vocabulary by the canonical tree. {@code factor[s] (R)}
     * becomes {@code exp(max_s - max) / sum}; {@code loss (1)} F64 becomes the sum over rows,
     * ascending, of {@code log(sum) + max - target}.
     */
    void softmaxJoin(
            Buffer loss, Buffer[] factor, Buffer[] max, Buffer[] sum, Buffer target, int rows);

    /**
     * Second pass: {@code dLogits (R, V) = (exp(logit - max) * factor - [column is the label]) *
     * scale}, rounded once to its type, from what the first pass left in {@code logits} and its
     * {@code max (R)}. {@code dLogits} may be {@code logits}.
     */
    void softmaxGradient(Buffer dLogits, Buffer logits, Buffer max, Buffer factor, Buffer labels,
            float scale, int first, int rows, int vocabulary);

    /** {@code out += x}, both F32. */
    void add(Buffer out, Buffer x, long count);

    /** Copies, rounding to the type of {@code out} to nearest even. */
    void cast(Buffer out, Buffer x, long count);

    /** Fills with zeros. */
    void zero(Buffer out, long count);

    /**
     * {@code sums[i]}: the sum of the squares of all elements of {@code x[i]} F32, in fp64 over 16
     * fixed lanes; not finite if an element is not. A back end computes them side by side.
     */
    void sumsOfSquares(double[] sums, Buffer[] x);

    /**
     * One AdamW update of each chunk i, side by side: of {@code weight[i]}, {@code first[i]} and
     * {@code second[i]} moment in place (all F32) from {@code gradient[i]} F32, as a whole. Adds
     * the digest of the new values into {@code digest[i]} and writes the weights rounded to the type
     * of {@code compute[i]}, which all chunks share. {@code position[i]} is the flat offset of the
     * first element, a multiple of 16.
     */
    void adamW(Buffer[] weight, Buffer[] first, Buffer[] second, Buffer[] compute,
            Buffer[] gradient, AdamW[] scalars, long[] position, DigestSum[] digest);

    /** Adds the digest of weights and moments into {@code digest}; see {@link #adamW}. */
    void digest(Buffer weight, Buffer first, Buffer second, long position, long count,
            DigestSum digest);

    /**
     * Initial weights: element i is {@code std} times the standard normal value of (seed, tensor,
     * {@code index(i)}), where a matrix of {@code rows} and {@code columns} lies at row {@code
     * firstRow} and column {@code firstColumn} of a tensor with {@code tensorColumns} columns:
     * independent of slices.
     */
    void normal(Buffer out, double std, long seed, int tensor, int firstRow, int firstColumn,
            int tensorColumns, int rows, int columns);

    /** Fills with one value. */
    void fill(Buffer out, float value, long count);
}
