package castalia.workers.model;

import castalia.kernels.Arena;
import castalia.kernels.Buffer;
import castalia.kernels.DType;
import castalia.kernels.Kernels;
import castalia.kernels.MatmulShape;
import castalia.protocol.model.Parameter.Role;

/**
 * Output layer and cross-entropy in one sweep: for each chunk of rows the logits, the loss, the
 * logits' gradient, and from it the gradients of input and weight. Logits of a micro-batch never
 * exist as a whole. Vocabulary slices are joined per row by the canonical tree.
 */
final class Head {

    private final ModelPlan plan;
    private final Kernels kernels;
    private final FlatViews weights;
    private final int layer;
    private final Sweep[] sweeps;
    private final Buffer[] logits;
    private final Buffer[] dLogits;
    private final Buffer[] partial;

    /** Products and views of one chunk of rows. */
    @SuppressWarnings("ArrayRecordComponent") // one buffer per slice; never compared
    private record Sweep(
            int rows,
            long first,
            MatmulShape logits,
            MatmulShape input,
            MatmulShape weight,
            MatmulShape weightAdded,
            Buffer[] exponentials,
            Buffer[] dLogits,
            Buffer[] partial,
            Buffer[] max,
            Buffer[] sum,
            Buffer[] factor,
            Buffer target) {}

    /**
     * Allocates working memory for {@link ModelPlan#HEAD_ROWS} rows.
     *
     * @param backward whether gradients will be asked for
     */
    Head(ModelPlan plan, Kernels kernels, Arena arena, FlatViews weights, boolean backward) {
        this.plan = plan;
        this.kernels = kernels;
        this.weights = weights;
        this.layer = plan.shape().layers() + 1;
        int most = Math.min(ModelPlan.HEAD_ROWS, plan.rows());
        long wide = (long) most * plan.sliceVocabulary();
        long narrow = (long) most * plan.hidden();
        this.logits = BlockActivations.perSlice(plan, _ -> arena.allocate(DType.F32, wide));
        boolean inPlace = plan.compute() == DType.F32 || !backward;
        this.dLogits = inPlace
                ? logits
                : BlockActivations.perSlice(plan, _ -> arena.allocate(plan.compute(), wide));
        this.partial = backward && plan.slices() > 1
                ? BlockActivations.perSlice(plan, _ -> arena.allocate(DType.F32, narrow))
                : new Buffer[0];
        Buffer[] max = statistics(arena, most);
        Buffer[] sum = statistics(arena, most);
        Buffer[] factor = statistics(arena, most);
        Buffer target = arena.allocate(DType.F32, most);
        int[] rows = plan.sweeps();
        this.sweeps = new Sweep[rows.length];
        for (int i = 0; i < rows.length; i++) {
            int n = rows[i];
            long v = (long) n * plan.sliceVocabulary();
            MatmulShape weight = plan.headWeight(n);
            sweeps[i] = new Sweep(
                    n, (long) i * ModelPlan.HEAD_ROWS, plan.logits(n), plan.headInput(n), weight,
                    weight.accumulating(), first(logits, v), first(dLogits, v),
                    first(partial, (long) n * plan.hidden()), first(max, n), first(sum, n),
                    first(factor, n), target.slice(0, n));
        }
    }

    private Buffer[] statistics(Arena arena, int rows) {
        return BlockActivations.perSlice(plan, _ -> arena.allocate(DType.F32, rows));
    }

    private static Buffer[] first(Buffer[] buffers, long count) {
        Buffer[] views = new Buffer[buffers.length];
        for (int s = 0; s < views.length; s++) {
            views[s] = buffers[s].slice(0, count);
        }
        return views;
    }

    /** Number of sweeps over a micro-batch. */
    int sweeps() {
        return sweeps.length;
    }

    /** The rows of {@code buffer (R, columns)} that sweep {@code i} handles. */
    Buffer rowsOf(Buffer buffer, int i, int columns) {
        return buffer.slice(sweeps[i].first * columns, (long) sweeps[i].rows * columns);
    }

    /**
     * Sums the losses of a micro-batch.
     *
     * @param x per sweep, its rows of the final norm's output
     * @param labels per sweep, its labels
     */
    double loss(Buffer[] x, Buffer[] labels) {
        double loss = 0;
        for (int i = 0; i < sweeps.length; i++) {
            loss += forward(sweeps[i], x[i], labels[i]);
        }
        return loss;
    }

    /**
     * Sums the losses of a micro-batch and leaves the gradients.
     *
     * @param dx per sweep, where its rows of the input's gradient go
     * @param scale what the gradient of each token's loss is multiplied with
     * @param accumulate whether the weight's gradient is added to
     */
    double lossAndGradient(
            Buffer[] dx, FlatViews gradients, Buffer[] x, Buffer[] labels, float scale,
            boolean accumulate) {
        double loss = 0;
        for (int i = 0; i < sweeps.length; i++) {
            Sweep sweep = sweeps[i];
            loss += forward(sweep, x[i], labels[i]);
            MatmulShape weightProduct = accumulate || i > 0 ? sweep.weightAdded : sweep.weight;
            for (int s = 0; s < plan.slices(); s++) {
                kernels.softmaxGradient(sweep.dLogits[s], sweep.exponentials[s], sweep.factor[s],
                        labels[i], scale, s * plan.sliceVocabulary(), sweep.rows,
                        plan.sliceVocabulary());
                kernels.matmul(weightProduct, gradients.slice(Role.HEAD, layer, s),
                        sweep.dLogits[s], x[i], null);
                kernels.matmul(sweep.input, plan.slices() == 1 ? dx[i] : sweep.partial[s],
                        sweep.dLogits[s], weights.slice(Role.HEAD, layer, s), null);
            }
            if (plan.slices() > 1) {
                kernels.sumPartials(dx[i], sweep.partial, dx[i].elements());
            }
        }
        return loss;
    }

    private double forward(Sweep sweep, Buffer x, Buffer labels) {
        for (int s = 0; s < plan.slices(); s++) {
            kernels.matmul(sweep.logits, sweep.exponentials[s], x,
                    weights.slice(Role.HEAD, layer, s), null);
            kernels.softmaxPartial(sweep.exponentials[s], sweep.max[s], sweep.sum[s], sweep.target,
                    labels, s * plan.sliceVocabulary(), sweep.rows, plan.sliceVocabulary());
        }
        return kernels.softmaxJoin(sweep.factor, sweep.max, sweep.sum, sweep.target, sweep.rows);
    }

    /**
     * The logits of sweep {@code i}: per slice a view (rows, V/T) F32, valid until the next call.
     */
    Buffer[] logits(int i, Buffer x) {
        for (int s = 0; s < plan.slices(); s++) {
            kernels.matmul(sweeps[i].logits, sweeps[i].exponentials[s], x,
                    weights.slice(Role.HEAD, layer, s), null);
        }
        return sweeps[i].exponentials;
    }
}
