package castalia.workers.model;

import castalia.kernels.Buffer;
import castalia.kernels.Kernels;
import castalia.kernels.MatmulShape;
import castalia.protocol.model.Gelu;
import castalia.protocol.model.Parameter.Role;

/**
 * One transformer block, forward and backward, over the tensor slices computed here.
 *
 * <p>Parallel residual: {@code out = x + attention(ln1 x) + mlp(ln2 x)}. Sequential:
 * {@code middle = x + attention(ln1 x)}, {@code out = middle + mlp(ln2 middle)}. Each slice's
 * outputs are F32 partials; the tree over slices, the biases and the residual are one addition
 * with one rounding. In Megatron's words {@code f} is the identity forward and the sum of partials
 * backward, {@code g} the sum of partials forward and the identity backward.
 */
final class NeoxBlock {

    private final int layer;
    private final ModelPlan plan;
    private final Kernels kernels;
    private final SliceJoin join;
    private final Scratch scratch;
    private final FlatViews weights;

    private final MatmulShape qkv;
    private final MatmulShape up;
    private final MatmulShape dense;
    private final MatmulShape down;
    private final MatmulShape downAdded;
    private final MatmulShape qkvInput;
    private final MatmulShape upInput;
    private final MatmulShape denseInput;
    private final MatmulShape downInput;
    private final WeightProduct qkvWeight;
    private final WeightProduct upWeight;
    private final WeightProduct denseWeight;
    private final WeightProduct downWeight;

    /** A weight gradient's product, written for the first micro-batch and added for the others. */
    private record WeightProduct(MatmulShape written, MatmulShape added) {
        static WeightProduct of(MatmulShape shape) {
            return new WeightProduct(shape, shape.accumulating());
        }

        MatmulShape of(boolean accumulate) {
            return accumulate ? added : written;
        }
    }

    NeoxBlock(int layer, ModelPlan plan, Kernels kernels, SliceJoin join, Scratch scratch,
            FlatViews weights) {
        this.layer = layer;
        this.plan = plan;
        this.kernels = kernels;
        this.join = join;
        this.scratch = scratch;
        this.weights = weights;
        this.qkv = plan.qkv();
        this.up = plan.up();
        this.dense = plan.dense();
        this.down = plan.down();
        this.downAdded = plan.down().accumulating();
        this.qkvInput = plan.qkvInput();
        this.upInput = plan.upInput();
        this.denseInput = plan.denseInput();
        this.downInput = plan.downInput();
        this.qkvWeight = WeightProduct.of(plan.qkvWeight());
        this.upWeight = WeightProduct.of(plan.upWeight());
        this.denseWeight = WeightProduct.of(plan.denseWeight());
        this.downWeight = WeightProduct.of(plan.downWeight());
    }

    /** Computes {@code out (R, C)} from {@code x (R, C)} and leaves activations. */
    void forward(RowBlocks out, RowBlocks x, BlockActivations a) {
        forward(x, a, false);
        if (plan.shape().parallelResidual()) {
            join.residual(out, x, scratch.partial(), weight(Role.DENSE_BIAS),
                    weight(Role.DOWN_BIAS));
        } else {
            join.residual(out, a.middle(), scratch.partial(), weight(Role.DOWN_BIAS), null);
        }
    }

    /** Leaves the activations of {@link #forward} that are not kept once more. */
    void recompute(RowBlocks x, BlockActivations a) {
        switch (plan.recomputation()) {
            case BLOCK -> forward(x, a, true);
            case ATTENTION -> {
                restore(x, a);
                for (int i = 0; i < join.count(); i++) {
                    attention(a, i, true);
                }
            }
            case NONE -> restore(x, a);
        }
    }

    /** The outputs of both norms and of GELU. */
    private void restore(RowBlocks x, BlockActivations a) {
        if (plan.shape().parallelResidual()) {
            normDouble(x, a);
        } else {
            norm1(x, a);
            norm2(a);
        }
        for (int i = 0; i < join.count(); i++) {
            kernels.gelu(a.gelu()[i], a.up()[i], tanh(), sliceElements());
        }
    }

    private void forward(RowBlocks x, BlockActivations a, boolean activationsOnly) {
        if (plan.shape().parallelResidual()) {
            normDouble(x, a);
            for (int i = 0; i < join.count(); i++) {
                attention(a, i, activationsOnly);
                feedForward(a, i, downAdded, activationsOnly);
            }
            return;
        }
        norm1(x, a);
        for (int i = 0; i < join.count(); i++) {
            attention(a, i, false);
        }
        join.residual(a.middle(), x, scratch.partial(), weight(Role.DENSE_BIAS), null);
        norm2(a);
        for (int i = 0; i < join.count(); i++) {
            feedForward(a, i, down, activationsOnly);
        }
    }

    private void normDouble(RowBlocks x, BlockActivations a) {
        kernels.layerNormDouble(a.ln1(), a.ln2(), a.mean1(), a.rstd1(), x.whole(),
                weight(Role.LN1_WEIGHT), weight(Role.LN1_BIAS), weight(Role.LN2_WEIGHT),
                weight(Role.LN2_BIAS), epsilon(), plan.rows(), plan.hidden());
    }

    private void norm1(RowBlocks x, BlockActivations a) {
        kernels.layerNorm(a.ln1(), a.mean1(), a.rstd1(), x.whole(), weight(Role.LN1_WEIGHT),
                weight(Role.LN1_BIAS), epsilon(), plan.rows(), plan.hidden());
    }

    private void norm2(BlockActivations a) {
        kernels.layerNorm(a.ln2(), a.mean2(), a.rstd2(), a.middle().whole(),
                weight(Role.LN2_WEIGHT), weight(Role.LN2_BIAS), epsilon(), plan.rows(),
                plan.hidden());
    }

    private void attention(BlockActivations a, int i, boolean activationsOnly) {
        int s = join.slice(i);
        kernels.matmul(qkv, a.qkv()[i], a.ln1(), weight(Role.QKV_WEIGHT, s),
                weight(Role.QKV_BIAS, s));
        rotate(a.qkv()[i], false);
        kernels.attention(a.attention()[i], a.lse()[i], a.qkv()[i], plan.batch(), plan.sequence(),
                plan.sliceHeads(), plan.shape().headDimension());
        if (!activationsOnly) {
            join.settle();
            product(dense, scratch.partial().slices()[i], a.attention()[i],
                    weight(Role.DENSE_WEIGHT, s));
        }
    }

    private void feedForward(
            BlockActivations a, int i, MatmulShape product, boolean activationsOnly) {
        int s = join.slice(i);
        // The backward pass has GELU of what is kept, whether or not it is computed again.
        kernels.matmulGelu(up, a.gelu()[i], a.up()[i], a.ln2(), weight(Role.UP_WEIGHT, s),
                weight(Role.UP_BIAS, s), tanh(), activationsOnly);
        if (!activationsOnly) {
            join.settle();
            product(product, scratch.partial().slices()[i], a.gelu()[i],
                    weight(Role.DOWN_WEIGHT, s));
        }
    }

    private void rotate(Buffer qkvSlice, boolean inverse) {
        if (plan.shape().rotaryDimensions() > 0) {
            kernels.rotary(qkvSlice, scratch.rotaryTable(), inverse, plan.batch(), plan.sequence(),
                    plan.sliceHeads(), plan.shape().headDimension(),
                    plan.shape().rotaryDimensions());
        }
    }

    /**
     * Turns the gradient of the block's output into that of its input, in place of
     * {@code dx (R, C)}, and writes or adds the parameters' gradients.
     */
    void backward(
            Buffer dx, Buffer x, BlockActivations a, FlatViews gradients, boolean accumulate) {
        int rows = plan.rows();
        int columns = plan.hidden();
        Buffer dLn1 = scratch.dLn1().whole();
        Buffer dLn2 = scratch.dLn2().whole();
        feedForwardBackward(dx, a, gradients, accumulate);
        join.give(scratch.dInput2());
        if (plan.shape().parallelResidual()) {
            attentionBackward(dx, a, gradients, accumulate);
            join.give(scratch.dInput1());
            join.sum(scratch.dLn2(), scratch.dInput2());
            join.sum(scratch.dLn1(), scratch.dInput1());
            join.take(scratch.dLn2());
            join.take(scratch.dLn1());
            kernels.layerNormDoubleBackward(dx, gradient(gradients, Role.LN1_WEIGHT),
                    gradient(gradients, Role.LN1_BIAS), gradient(gradients, Role.LN2_WEIGHT),
                    gradient(gradients, Role.LN2_BIAS), dx, dLn1, dLn2, x, a.mean1(), a.rstd1(),
                    weight(Role.LN1_WEIGHT), weight(Role.LN2_WEIGHT), rows, columns, accumulate);
            return;
        }
        join.sum(scratch.dLn2(), scratch.dInput2());
        join.take(scratch.dLn2());
        kernels.layerNormBackward(dx, gradient(gradients, Role.LN2_WEIGHT),
                gradient(gradients, Role.LN2_BIAS), dx, dLn2, a.middle().whole(), a.mean2(),
                a.rstd2(), weight(Role.LN2_WEIGHT), rows, columns, accumulate);
        attentionBackward(dx, a, gradients, accumulate);
        join.give(scratch.dInput1());
        join.sum(scratch.dLn1(), scratch.dInput1());
        join.take(scratch.dLn1());
        kernels.layerNormBackward(dx, gradient(gradients, Role.LN1_WEIGHT),
                gradient(gradients, Role.LN1_BIAS), dx, dLn1, x, a.mean1(), a.rstd1(),
                weight(Role.LN1_WEIGHT), rows, columns, accumulate);
    }

    private void feedForwardBackward(
            Buffer dOut, BlockActivations a, FlatViews gradients, boolean accumulate) {
        kernels.biasGradient(gradient(gradients, Role.DOWN_BIAS), dOut, plan.rows(), plan.hidden(),
                accumulate);
        for (int i = 0; i < join.count(); i++) {
            int s = join.slice(i);
            Buffer dUp = scratch.dUp()[i];
            product(downWeight.of(accumulate), gradients.slice(Role.DOWN_WEIGHT, layer, s), dOut,
                    a.gelu()[i]);
            kernels.matmulGeluBackward(
                    downInput, dUp, dOut, weight(Role.DOWN_WEIGHT, s), a.up()[i], tanh());
            kernels.biasGradient(gradients.slice(Role.UP_BIAS, layer, s), dUp, plan.rows(),
                    plan.sliceIntermediate(), accumulate);
            product(upWeight.of(accumulate), gradients.slice(Role.UP_WEIGHT, layer, s), dUp,
                    a.ln2());
            join.settle(); // what the block above gave away, both input gradients
            product(upInput, scratch.dInput2().slices()[i], dUp, weight(Role.UP_WEIGHT, s));
        }
    }

    private void attentionBackward(
            Buffer dOut, BlockActivations a, FlatViews gradients, boolean accumulate) {
        Buffer dBias = gradient(gradients, Role.DENSE_BIAS);
        if (plan.shape().parallelResidual()) {
            // The same sums over the same rows as the other bias's, which are there already.
            kernels.cast(dBias, gradient(gradients, Role.DOWN_BIAS), plan.hidden());
        } else {
            kernels.biasGradient(dBias, dOut, plan.rows(), plan.hidden(), accumulate);
        }
        Buffer dQkv = scratch.dQkv();
        for (int i = 0; i < join.count(); i++) {
            int s = join.slice(i);
            product(denseWeight.of(accumulate), gradients.slice(Role.DENSE_WEIGHT, layer, s), dOut,
                    a.attention()[i]);
            product(denseInput, scratch.dAttention(), dOut, weight(Role.DENSE_WEIGHT, s));
            kernels.attentionBackward(dQkv, scratch.dAttention(), a.attention()[i], a.lse()[i],
                    a.qkv()[i], plan.batch(), plan.sequence(), plan.sliceHeads(),
                    plan.shape().headDimension());
            rotate(dQkv, true);
            kernels.biasGradient(gradients.slice(Role.QKV_BIAS, layer, s), dQkv, plan.rows(),
                    3 * plan.sliceHidden(), accumulate);
            product(qkvWeight.of(accumulate), gradients.slice(Role.QKV_WEIGHT, layer, s), dQkv,
                    a.ln1());
            product(qkvInput, scratch.dInput1().slices()[i], dQkv, weight(Role.QKV_WEIGHT, s));
        }
    }

    private void product(MatmulShape shape, Buffer out, Buffer left, Buffer right) {
        kernels.matmul(shape, out, left, right, null);
    }

    private boolean tanh() {
        return plan.shape().gelu() == Gelu.TANH;
    }

    private long sliceElements() {
        return (long) plan.rows() * plan.sliceIntermediate();
    }

    private float epsilon() {
        return (float) plan.shape().layerNormEpsilon();
    }

    private Buffer weight(Role role) {
        return weights.slice(role, layer, 0);
    }

    private Buffer weight(Role role, int slice) {
        return weights.slice(role, layer, slice);
    }

    private Buffer gradient(FlatViews gradients, Role role) {
        return gradients.slice(role, layer, 0);
    }
}
