package castalia.workers.model;

import castalia.kernels.Buffer;
import castalia.kernels.Kernels;
import castalia.kernels.MatmulShape;
import castalia.protocol.model.Gelu;
import castalia.protocol.model.Parameter.Role;

/**
 * One transformer block, forward and backward, over T tensor slices.
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

    NeoxBlock(int layer, ModelPlan plan, Kernels kernels, Scratch scratch, FlatViews weights) {
        this.layer = layer;
        this.plan = plan;
        this.kernels = kernels;
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
    void forward(Buffer out, Buffer x, BlockActivations a) {
        int rows = plan.rows();
        int copies = plan.shape().publishedModelParallel();
        if (plan.shape().parallelResidual()) {
            kernels.layerNormDouble(a.ln1(), a.ln2(), a.mean1(), a.rstd1(), x,
                    weight(Role.LN1_WEIGHT), weight(Role.LN1_BIAS), weight(Role.LN2_WEIGHT),
                    weight(Role.LN2_BIAS), epsilon(), rows, plan.hidden());
            for (int s = 0; s < plan.slices(); s++) {
                attention(a, s);
                feedForward(a, s, downAdded);
            }
            kernels.residual(out, x, scratch.partial(), weight(Role.DENSE_BIAS),
                    weight(Role.DOWN_BIAS), copies, rows, plan.hidden());
            return;
        }
        kernels.layerNorm(a.ln1(), a.mean1(), a.rstd1(), x, weight(Role.LN1_WEIGHT),
                weight(Role.LN1_BIAS), epsilon(), rows, plan.hidden());
        for (int s = 0; s < plan.slices(); s++) {
            attention(a, s);
        }
        kernels.residual(a.middle(), x, scratch.partial(), weight(Role.DENSE_BIAS), null, copies,
                rows, plan.hidden());
        kernels.layerNorm(a.ln2(), a.mean2(), a.rstd2(), a.middle(), weight(Role.LN2_WEIGHT),
                weight(Role.LN2_BIAS), epsilon(), rows, plan.hidden());
        for (int s = 0; s < plan.slices(); s++) {
            feedForward(a, s, down);
        }
        kernels.residual(out, a.middle(), scratch.partial(), weight(Role.DOWN_BIAS), null, copies,
                rows, plan.hidden());
    }

    private void attention(BlockActivations a, int s) {
        kernels.matmul(qkv, a.qkv()[s], a.ln1(), weight(Role.QKV_WEIGHT, s),
                weight(Role.QKV_BIAS, s));
        rotate(a.qkv()[s], false);
        kernels.attention(a.attention()[s], a.lse()[s], a.qkv()[s], plan.batch(), plan.sequence(),
                plan.sliceHeads(), plan.shape().headDimension());
        product(dense, scratch.partial()[s], a.attention()[s], weight(Role.DENSE_WEIGHT, s));
    }

    private void feedForward(BlockActivations a, int s, MatmulShape product) {
        kernels.matmul(up, a.up()[s], a.ln2(), weight(Role.UP_WEIGHT, s), weight(Role.UP_BIAS, s));
        kernels.gelu(a.gelu()[s], a.up()[s], tanh(), sliceElements());
        product(product, scratch.partial()[s], a.gelu()[s], weight(Role.DOWN_WEIGHT, s));
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
        if (plan.shape().parallelResidual()) {
            feedForwardBackward(dx, a, gradients, accumulate);
            attentionBackward(dx, a, gradients, accumulate);
            kernels.layerNormDoubleBackward(dx, gradient(gradients, Role.LN1_WEIGHT),
                    gradient(gradients, Role.LN1_BIAS), gradient(gradients, Role.LN2_WEIGHT),
                    gradient(gradients, Role.LN2_BIAS), dx, scratch.dLn1(), scratch.dLn2(), x,
                    a.mean1(), a.rstd1(), weight(Role.LN1_WEIGHT), weight(Role.LN2_WEIGHT), rows,
                    columns, accumulate);
            return;
        }
        feedForwardBackward(dx, a, gradients, accumulate);
        kernels.layerNormBackward(dx, gradient(gradients, Role.LN2_WEIGHT),
                gradient(gradients, Role.LN2_BIAS), dx, scratch.dLn2(), a.middle(), a.mean2(),
                a.rstd2(), weight(Role.LN2_WEIGHT), rows, columns, accumulate);
        attentionBackward(dx, a, gradients, accumulate);
        kernels.layerNormBackward(dx, gradient(gradients, Role.LN1_WEIGHT),
                gradient(gradients, Role.LN1_BIAS), dx, scratch.dLn1(), x, a.mean1(), a.rstd1(),
                weight(Role.LN1_WEIGHT), rows, columns, accumulate);
    }

    private void feedForwardBackward(
            Buffer dOut, BlockActivations a, FlatViews gradients, boolean accumulate) {
        kernels.biasGradient(gradient(gradients, Role.DOWN_BIAS), dOut, plan.rows(), plan.hidden(),
                accumulate);
        Buffer dUp = scratch.dUp();
        for (int s = 0; s < plan.slices(); s++) {
            product(downWeight.of(accumulate), gradients.slice(Role.DOWN_WEIGHT, layer, s), dOut,
                    a.gelu()[s]);
            product(downInput, dUp, dOut, weight(Role.DOWN_WEIGHT, s));
            kernels.geluBackward(dUp, dUp, a.up()[s], tanh(), sliceElements());
            kernels.biasGradient(gradients.slice(Role.UP_BIAS, layer, s), dUp, plan.rows(),
                    plan.sliceIntermediate(), accumulate);
            product(upWeight.of(accumulate), gradients.slice(Role.UP_WEIGHT, layer, s), dUp,
                    a.ln2());
            product(upInput, scratch.dInput2()[s], dUp, weight(Role.UP_WEIGHT, s));
        }
        join(scratch.dLn2(), scratch.dInput2());
    }

    private void attentionBackward(
            Buffer dOut, BlockActivations a, FlatViews gradients, boolean accumulate) {
        kernels.biasGradient(gradient(gradients, Role.DENSE_BIAS), dOut, plan.rows(), plan.hidden(),
                accumulate);
        Buffer dQkv = scratch.dQkv();
        for (int s = 0; s < plan.slices(); s++) {
            product(denseWeight.of(accumulate), gradients.slice(Role.DENSE_WEIGHT, layer, s), dOut,
                    a.attention()[s]);
            product(denseInput, scratch.dAttention(), dOut, weight(Role.DENSE_WEIGHT, s));
            kernels.attentionBackward(dQkv, scratch.dAttention(), a.attention()[s], a.lse()[s],
                    a.qkv()[s], plan.batch(), plan.sequence(), plan.sliceHeads(),
                    plan.shape().headDimension());
            rotate(dQkv, true);
            kernels.biasGradient(gradients.slice(Role.QKV_BIAS, layer, s), dQkv, plan.rows(),
                    3 * plan.sliceHidden(), accumulate);
            product(qkvWeight.of(accumulate), gradients.slice(Role.QKV_WEIGHT, layer, s), dQkv,
                    a.ln1());
            product(qkvInput, scratch.dInput1()[s], dQkv, weight(Role.QKV_WEIGHT, s));
        }
        join(scratch.dLn1(), scratch.dInput1());
    }

    private void join(Buffer sum, Buffer[] partials) {
        if (partials.length > 1) {
            kernels.sumPartials(sum, partials, sum.elements());
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
