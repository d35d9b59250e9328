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
 * exist as a whole. The vocabulary of a slice is swept in parts, so that what is computed of a part is
 * still in the cache when it is needed. Parts are joined per row by the canonical tree over the parts
 * of all slices; ranks that share the slices give each other their row statistics, so that all join
 * the same numbers.
 */
final class Head {

    private final ModelPlan plan;
    private final Kernels kernels;
    private final SliceJoin join;
    private final FlatViews weights;
    private final int layer;
    private final int parts;
    private final int width;
    private final Sweep[] sweeps;
    private final Partials dInput;

    /**
     * Products and views of one chunk of rows: logits, or what the first pass made of them, and
     * gradients per part computed here, partials per slice, statistics and factors per part of the
     * layout, targets per rank.
     */
    @SuppressWarnings("ArrayRecordComponent") // one buffer per part; never compared
    private record Sweep(
            int rows,
            long first,
            MatmulShape logits,
            MatmulShape input,
            MatmulShape inputAdded,
            MatmulShape weight,
            MatmulShape weightAdded,
            Buffer[] values,
            Buffer[] dLogits,
            Buffer[] partial,
            Buffer folded,
            RowBlocks statistics,
            Buffer[] max,
            Buffer[] sum,
            Buffer[] targets,
            Buffer[] factor,
            Buffer target) {}

    /** Working memory of all sweeps. */
    @SuppressWarnings("ArrayRecordComponent") // one buffer per slice; never compared
    private record Memory(
            Buffer[] logits, Buffer dLogits, Buffer[] partial, Buffer statistics,
            Buffer[] factor, Buffer target) {}

    /**
     * Allocates working memory for the rows of a sweep.
     *
     * @param dInput where input gradients of all rows are summed if ranks share the slices
     * @param backward whether gradients will be asked for
     */
    Head(ModelPlan plan, Kernels kernels, SliceJoin join, Arena arena, FlatViews weights,
            Partials dInput, boolean backward) {
        this.plan = plan;
        this.kernels = kernels;
        this.join = join;
        this.weights = weights;
        this.dInput = dInput;
        this.layer = plan.shape().layers() + 1;
        this.parts = plan.headParts();
        this.width = plan.headWidth();
        int most = Math.min(plan.head().rows(), plan.rows());
        long wide = (long) most * plan.sliceVocabulary();
        long narrow = (long) most * plan.hidden();
        Buffer[] logits = join.perSlice(_ -> arena.allocate(DType.F32, wide));
        boolean inPlace = plan.compute() == DType.F32 || !backward;
        Buffer dLogits = arena.allocate(plan.compute(), inPlace ? 0 : (long) most * width);
        // A single slice of several writes its input gradient where it is folded.
        boolean apart = backward && (plan.slices() == 1
                ? plan.headInput(most).output() != plan.compute()
                : join.alone() || join.count() > 1);
        Buffer[] partial = apart
                ? join.perSlice(_ -> arena.allocate(DType.F32, narrow))
                : new Buffer[0];
        Buffer[] factor = new Buffer[plan.slices() * parts];
        for (int s = 0; s < factor.length; s++) {
            factor[s] = arena.allocate(DType.F32, most);
        }
        Memory memory = new Memory(logits, dLogits, partial,
                arena.allocate(DType.F32, (long) join.ranks() * statistics() * most), factor,
                arena.allocate(DType.F32, join.alone() ? 0 : most));
        int[] rows = plan.sweeps();
        this.sweeps = new Sweep[rows.length];
        for (int i = 0; i < rows.length; i++) {
            sweeps[i] = sweep(memory, (long) i * plan.head().rows(), rows[i], backward);
        }
    }

    /** Parts computed here. */
    private int partsHere() {
        return join.count() * parts;
    }

    /** Number among the parts of all slices of a part computed here. */
    private int part(int i) {
        return join.position() * partsHere() + i;
    }

    /** The rows of the head's weight, or of its gradient, of a part computed here. */
    private Buffer rowsOf(FlatViews views, int i) {
        long elements = (long) width * plan.hidden();
        return views.slice(Role.HEAD, layer, join.slice(i / parts))
                .slice(i % parts * elements, elements);
    }

    /** Numbers per row that a rank finds out: maximum and sum of each part, and the target. */
    private int statistics() {
        return 2 * partsHere() + 1;
    }

    private Sweep sweep(Memory memory, long first, int n, boolean backward) {
        long narrow = (long) n * plan.hidden();
        MatmulShape input = plan.headInput(n);
        MatmulShape weight = plan.headWeight(n);
        RowBlocks statistics = RowBlocks.of(
                memory.statistics.slice(0, (long) join.ranks() * statistics() * n),
                join.ranks(), statistics() * n, join.ranks(), join.position());
        Buffer[] max = new Buffer[plan.slices() * parts];
        Buffer[] sum = new Buffer[max.length];
        Buffer[] targets = new Buffer[join.ranks()];
        for (int p = 0; p < targets.length; p++) {
            Buffer of = statistics.parts()[p];
            for (int i = 0; i < partsHere(); i++) {
                max[p * partsHere() + i] = of.slice(2L * i * n, n);
                sum[p * partsHere() + i] = of.slice((2L * i + 1) * n, n);
            }
            targets[p] = of.slice(2L * partsHere() * n, n);
        }
        Buffer[] logits = new Buffer[partsHere()];
        Buffer[] dLogits = new Buffer[logits.length];
        long wide = (long) n * width;
        for (int i = 0; i < logits.length; i++) {
            logits[i] = memory.logits[i / parts].slice(i % parts * wide, wide);
            dLogits[i] = memory.dLogits.elements() == 0 ? logits[i] : memory.dLogits.slice(0, wide);
        }
        return new Sweep(
                n, first, plan.logits(n), input, parts > 1 ? input.accumulating() : input, weight,
                weight.accumulating(), logits, dLogits, first(memory.partial, narrow),
                backward ? dInput.folded().whole().slice(first * plan.hidden(), narrow)
                        : memory.target.slice(0, 0),
                statistics, max, sum, targets, first(memory.factor, n),
                join.alone() ? targets[0] : memory.target.slice(0, n));
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
     * @param losses where each sweep's sum (1) goes, F64
     * @param x per sweep, its rows of the final norm's output
     * @param labels per sweep, its labels
     */
    void loss(Buffer[] losses, Buffer[] x, Buffer[] labels) {
        for (int i = 0; i < sweeps.length; i++) {
            forward(losses[i], sweeps[i], x[i], labels[i]);
        }
    }

    /**
     * Sums the losses of a micro-batch and leaves the gradients.
     *
     * @param losses where each sweep's sum (1) goes, F64
     * @param dx where the input's gradient goes
     * @param dxRows per sweep, its rows of {@code dx}
     * @param scale what the gradient of each token's loss is multiplied with
     * @param accumulate whether the weight's gradient is added to
     */
    void lossAndGradient(
            Buffer[] losses, RowBlocks dx, Buffer[] dxRows, FlatViews gradients, Buffer[] x,
            Buffer[] labels, float scale, boolean accumulate) {
        for (int i = 0; i < sweeps.length; i++) {
            Sweep sweep = sweeps[i];
            forward(losses[i], sweep, x[i], labels[i]);
            MatmulShape weightProduct = accumulate || i > 0 ? sweep.weightAdded : sweep.weight;
            for (int k = 0; k < partsHere(); k++) {
                int part = part(k);
                kernels.softmaxGradient(sweep.dLogits[k], sweep.values[k], sweep.max[part],
                        sweep.factor[part], labels[i], scale, part * width, sweep.rows, width);
                kernels.matmul(weightProduct, rowsOf(gradients, k), sweep.dLogits[k], x[i], null);
                kernels.matmul(k % parts == 0 ? sweep.input : sweep.inputAdded,
                        inputGradient(sweep, dxRows[i], k / parts), sweep.dLogits[k],
                        rowsOf(weights, k), null);
            }
            if (sweep.partial.length > 0) {
                Buffer sum = join.alone() ? dxRows[i] : sweep.folded;
                kernels.sumPartials(sum, sweep.partial, sum.elements());
            }
        }
        if (!join.alone()) {
            join.giveFolded(dInput);
            join.sum(dx, dInput);
            join.take(dx);
        }
    }

    private Buffer inputGradient(Sweep sweep, Buffer dxRows, int i) {
        return sweep.partial.length > 0 ? sweep.partial[i]
                : join.alone() ? dxRows : sweep.folded;
    }

    private void forward(Buffer loss, Sweep sweep, Buffer x, Buffer labels) {
        join.settle(); // the statistics of the sweep before
        // Last part first: gradients begin with the first, which is still in the cache then.
        for (int k = partsHere() - 1; k >= 0; k--) {
            int p = part(k);
            kernels.matmul(sweep.logits, sweep.values[k], x, rowsOf(weights, k), null);
            kernels.softmaxPartial(sweep.values[k], sweep.max[p], sweep.sum[p],
                    sweep.targets[join.position()], labels, p * width, sweep.rows, width);
        }
        if (!join.alone()) {
            join.gather(sweep.statistics);
            int share = join.count() * plan.sliceVocabulary();
            for (int p = 0; p < join.ranks(); p++) {
                kernels.selectRows(sweep.target, sweep.targets[p], labels, p * share, sweep.rows, 1,
                        share);
            }
        }
        kernels.softmaxJoin(
                loss, sweep.factor, sweep.max, sweep.sum, sweep.target, sweep.rows);
    }

    /**
     * The logits of sweep {@code i}: per part computed here, of {@link ModelPlan#headWidth} columns, a
     * view (rows, columns) F32, valid until the next call.
     */
    Buffer[] logits(int i, Buffer x) {
        for (int k = 0; k < partsHere(); k++) {
            kernels.matmul(
                    sweeps[i].logits, sweeps[i].values[k], x, rowsOf(weights, k), null);
        }
        return sweeps[i].values;
    }
}
