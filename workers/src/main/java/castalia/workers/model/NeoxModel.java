package castalia.workers.model;

import castalia.kernels.Arena;
import castalia.kernels.Buffer;
import castalia.kernels.DType;
import castalia.kernels.Device;
import castalia.kernels.Kernels;
import castalia.protocol.layout.ChunkGrid;
import castalia.protocol.model.ModelShape;
import castalia.protocol.model.Parameter.Role;
import castalia.protocol.planner.Recomputation;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.function.IntConsumer;
import org.jspecify.annotations.Nullable;

/**
 * A GPT-NeoX model over the flat weights: loss and gradients of one micro-batch at a time. All
 * working memory is allocated here once; a pass allocates nothing.
 *
 * <p>Forward: embedding, L blocks, final layer norm, head. Not safe for use by two threads.
 *
 * <p>It computes the tensor slices that the weights cover. Where those are some of all, the ranks that
 * have the others call the same methods with the same tokens in the same order, and {@link #connect}
 * ties them. What is no slice's (losses, residual stream, gradients of vectors every slice uses) is
 * then the same on all of them, bit for bit that of a model of all slices.
 */
public final class NeoxModel implements AutoCloseable {

    /** Listens to no layer: such passes may be started as a whole. */
    public static final IntConsumer NOBODY = _ -> {};

    private final ModelPlan plan;
    private final Device device;
    private final Kernels kernels;
    private final Arena arena;
    private final FlatViews weights;
    private final boolean backward;
    private final NeoxBlock[] blocks;
    private final BlockActivations[] activations;
    private final SliceJoin join;
    private final Scratch scratch;
    private final RowBlocks[] x;
    private final Buffer mean;
    private final Buffer rstd;
    private final RowBlocks normed;
    private final Buffer dx;
    private final RowBlocks dNormed;
    private final Head head;
    private final Buffer[] normedRows;
    private final Buffer[] dNormedRows;
    private final Buffer tokens;
    private final Buffer labels;
    private final Buffer[] labelRows;
    private LayerWeights layers = LayerWeights.PRESENT;
    private final @Nullable Repetitions repetitions;
    private IntConsumer layerDone = NOBODY;
    private long forwardNanos;
    private long backwardNanos;

    /**
     * Allocates working memory on {@code device}.
     *
     * @param weights the flat weights in the compute type, of an equal part of the tensor slices by
     *     a power of two; read at every pass, owned by the caller
     * @param backward whether gradients will be asked for
     */
    public NeoxModel(
            ModelPlan plan, ChunkGrid grid, Device device, FlatViews weights, boolean backward) {
        if (weights.type() != plan.compute() || !grid.layout().equals(plan.layout())) {
            throw new IllegalArgumentException("weights of type " + weights.type()
                    + " for a model that computes in " + plan.compute());
        }
        plan.requireOn(device);
        this.plan = plan;
        this.device = device;
        this.kernels = device.kernels();
        this.arena = device.arena();
        this.weights = weights;
        this.backward = backward;
        try {
            ModelShape shape = plan.shape();
            int layers = shape.layers();
            long full = (long) plan.rows() * plan.hidden();
            DType type = plan.compute();
            Recomputation again = backward ? plan.recomputation() : Recomputation.BLOCK;
            this.join = new SliceJoin(plan, weights.space().slices(), kernels, arena);
            this.scratch = Scratch.allocate(plan, join, arena,
                    RotaryTable.allocate(shape, plan.sequence(), device, arena), backward);
            this.blocks = new NeoxBlock[layers];
            this.activations = new BlockActivations[layers];
            this.x = new RowBlocks[layers + 1];
            for (int b = 0; b <= layers; b++) {
                x[b] = backward || b < 2 ? join.blocks(arena.allocate(type, full)) : x[b - 2];
            }
            for (int b = 0; b < layers; b++) {
                blocks[b] = new NeoxBlock(b + 1, plan, kernels, join, scratch, weights);
                activations[b] = BlockActivations.allocate(
                        plan, join, arena, scratch, b == 0 ? null : activations[b - 1], again);
            }
            this.mean = arena.allocate(DType.F32, plan.rows());
            this.rstd = arena.allocate(DType.F32, plan.rows());
            this.normed = join.blocks(arena.allocate(type, full));
            this.dx = arena.allocate(type, backward ? full : 0);
            this.dNormed = backward ? join.blocks(scratch.dNormed()) : normed;
            this.head = new Head(
                    plan, kernels, join, arena, weights, scratch.dInput1(), backward);
            this.tokens = arena.allocate(DType.I32, plan.rows());
            this.labels = arena.allocate(DType.I32, plan.rows());
            this.normedRows = rowsOf(normed.whole(), plan.hidden());
            this.dNormedRows = backward ? rowsOf(dNormed.whole(), plan.hidden()) : new Buffer[0];
            this.labelRows = rowsOf(labels, 1);
            this.repetitions = backward && join.alone() && Repetitions.worthwhile(plan, device)
                    ? new Repetitions(plan, device, this::compute) : null;
            kernels.prepare(backward ? plan.products() : plan.forwardProducts());
        } catch (RuntimeException | Error e) {
            arena.close();
            throw e;
        }
    }

    private Buffer[] rowsOf(Buffer buffer, int columns) {
        Buffer[] rows = new Buffer[head.sweeps()];
        for (int i = 0; i < rows.length; i++) {
            rows[i] = head.rowsOf(buffer, i, columns);
        }
        return rows;
    }

    public ModelPlan plan() {
        return plan;
    }

    /**
     * Ties it to the other ranks of its replica, until another exchange replaces this one. To be
     * called between passes, and before the first where other ranks have some of the slices.
     *
     * @throws IllegalArgumentException if the exchange is for other slices than the weights'
     */
    public void connect(SliceExchange exchange) {
        forget();
        join.connect(exchange);
    }

    /** Says who brings the weights, where not all of them are in memory at once. */
    public void bring(LayerWeights by) {
        forget();
        layers = by;
    }

    /** Passes over memory of before are not repeated. */
    private void forget() {
        if (repetitions != null) {
            repetitions.forget();
        }
    }

    /** Bytes of working memory. */
    public long allocatedBytes() {
        return arena.allocatedBytes();
    }

    /**
     * Has someone told, on the thread that computes, when a backward pass has written the gradient of
     * a layer: the head's is {@code layers + 1}, the embedding's 0, and they end in this order.
     */
    public void onLayerDone(IntConsumer told) {
        layerDone = told;
    }

    /** Time of forward passes since the last call, nanoseconds; the head's sweep is not in it. */
    public long takeForwardNanos() {
        long taken = forwardNanos;
        forwardNanos = 0;
        return taken;
    }

    /** Time spent in backward passes and the head's sweep since the last call, nanoseconds. */
    public long takeBackwardNanos() {
        long taken = backwardNanos;
        backwardNanos = 0;
        return taken;
    }

    /**
     * Sums the losses over the tokens of a micro-batch, and writes or adds every gradient.
     *
     * @param gradients where gradients go, F32, of the slices computed here at least; others are not
     *     touched
     * @param inputs token ids (B, S), 32-bit, host memory
     * @param targets the token after each, likewise
     * @param scale what the gradient of each token's loss is multiplied with
     * @param accumulate false for the first micro-batch: gradients are written, not added
     * @param losses where the sums of the tokens' losses go, as those of {@code pass}
     */
    public void lossAndGradient(
            FlatViews gradients, MemorySegment inputs, MemorySegment targets, float scale,
            boolean accumulate, Losses losses, int pass) {
        if (!backward) {
            throw new IllegalStateException("this model was made for forward passes only");
        }
        upload(inputs, targets);
        Repetitions repeated = repetitions;
        if (repeated != null && layerDone.equals(NOBODY) && layers.takeAll()) {
            long start = System.nanoTime();
            repeated.run(gradients, scale, accumulate, losses, pass);
            backwardNanos += System.nanoTime() - start;
            return;
        }
        compute(gradients, scale, accumulate, losses.of(pass), layerDone);
    }

    private void compute(FlatViews gradients, float scale, boolean accumulate, Buffer[] losses,
            IntConsumer told) {
        long start = System.nanoTime();
        forward(true);
        long middle = System.nanoTime();
        int top = plan.shape().layers();
        head.lossAndGradient(losses, dNormed, dNormedRows, gradients, normedRows, labelRows, scale,
                accumulate);
        kernels.layerNormBackward(dx, finalNorm(gradients, Role.FINAL_LN_WEIGHT),
                finalNorm(gradients, Role.FINAL_LN_BIAS), null, dNormed.whole(), x[top].whole(),
                mean, rstd,
                finalNorm(weights, Role.FINAL_LN_WEIGHT), plan.rows(), plan.hidden(), accumulate);
        told.accept(top + 1);
        for (int b = top - 1; b >= 0; b--) {
            layers.need(b + 1);
            if (b < top - 1) {
                blocks[b].recompute(x[b], activations[b]);
            }
            blocks[b].backward(dx, x[b].whole(), activations[b], gradients, accumulate);
            told.accept(b + 1);
        }
        for (int i = 0; i < join.count(); i++) {
            int s = join.slice(i);
            kernels.embeddingBackward(gradients.slice(Role.EMBEDDING, 0, s), dx, tokens,
                    s * plan.sliceVocabulary(), plan.rows(), plan.hidden(), plan.sliceVocabulary(),
                    accumulate);
        }
        join.settle();
        told.accept(0);
        forwardNanos += middle - start;
        backwardNanos += System.nanoTime() - middle;
    }

    /**
     * Sums the losses over the tokens of a micro-batch; no gradients.
     *
     * @param losses as for {@link #lossAndGradient}
     */
    public void loss(MemorySegment inputs, MemorySegment targets, Losses losses, int pass) {
        upload(inputs, targets);
        forward(false);
        head.loss(losses.of(pass), normedRows, labelRows);
        join.settle();
    }

    /**
     * Computes the logits of some rows of a micro-batch, in F32: the columns of the vocabulary
     * slices computed here. The other columns of {@code out} stay as they are; so ranks of one process
     * that share the slices may fill one {@code out} together, and others put their columns together
     * afterwards: those of slice s are [s V/T, (s + 1) V/T).
     *
     * @param out (rows, vocabulary) row-major, host memory
     * @param firstRow first row, counted over the micro-batch's tokens
     * @param rows how many
     */
    public void logits(MemorySegment out, MemorySegment inputs, int firstRow, int rows) {
        if (firstRow < 0 || rows < 0 || rows > plan.rows() - firstRow) {
            throw new IllegalArgumentException("logits of " + rows + " rows from row " + firstRow
                    + " of a micro-batch of " + plan.rows());
        }
        upload(inputs, null);
        forward(false);
        join.settle();
        int vocabulary = plan.shape().vocabulary();
        int part = plan.headWidth();
        int firstPart = join.slice(0) * plan.headParts();
        for (int i = 0; i < head.sweeps(); i++) {
            int sweepFirst = i * plan.head().rows();
            int sweepEnd = Math.min(sweepFirst + plan.head().rows(), plan.rows());
            if (sweepEnd <= firstRow || sweepFirst >= firstRow + rows) {
                continue;
            }
            Buffer[] logits = head.logits(i, normedRows[i]);
            for (int k = 0; k < logits.length; k++) {
                int from = Math.max(sweepFirst, firstRow);
                int to = Math.min(sweepEnd, firstRow + rows);
                for (int row = from; row < to; row++) {
                    Buffer one = logits[k].slice((long) (row - sweepFirst) * part, part);
                    long at = ((long) (row - firstRow) * vocabulary
                            + (long) (firstPart + k) * part)
                            * Float.BYTES;
                    device.download(out.asSlice(at, (long) part * Float.BYTES), one);
                }
            }
        }
    }

    private void upload(MemorySegment inputs, @Nullable MemorySegment targets) {
        checkTokens(inputs);
        device.upload(tokens, inputs);
        if (targets != null) {
            checkTokens(targets);
            device.upload(labels, targets);
        }
    }

    private void forward(boolean goesBack) {
        join.begin();
        layers.begin(goesBack);
        layers.need(0);
        RowBlocks found = join.alone() ? x[0] : normed;
        for (int i = 0; i < join.count(); i++) {
            int s = join.slice(i);
            kernels.embedding(found.whole(), tokens, weights.slice(Role.EMBEDDING, 0, s),
                    s * plan.sliceVocabulary(), plan.rows(), plan.hidden(),
                    plan.sliceVocabulary());
        }
        if (!join.alone()) {
            join.tokens(x[0], found, tokens, scratch.received());
        }
        for (int b = 0; b < blocks.length; b++) {
            layers.need(b + 1);
            blocks[b].forward(x[b + 1], x[b], activations[b]);
        }
        layers.need(blocks.length + 1);
        kernels.layerNorm(normed.whole(), mean, rstd, x[blocks.length].whole(),
                finalNorm(weights, Role.FINAL_LN_WEIGHT), finalNorm(weights, Role.FINAL_LN_BIAS),
                (float) plan.shape().layerNormEpsilon(), plan.rows(), plan.hidden());
    }

    private void checkTokens(MemorySegment ids) {
        int vocabulary = plan.shape().vocabulary();
        for (int i = 0; i < plan.rows(); i++) {
            int id = ids.getAtIndex(ValueLayout.JAVA_INT, i);
            if (id < 0 || id >= vocabulary) {
                throw new IllegalArgumentException("token id " + id + " at position " + i
                        + " of a micro-batch lies outside the vocabulary of " + vocabulary);
            }
        }
    }

    private Buffer finalNorm(FlatViews views, Role role) {
        return views.slice(role, plan.shape().layers() + 1, 0);
    }

    @Override
    public void close() {
        if (repetitions != null) {
            repetitions.close();
        }
        arena.close();
    }
}
