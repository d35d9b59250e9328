package castalia.workers.generation;

import castalia.kernels.DType;
import castalia.kernels.Device;
import castalia.protocol.CastaliaException;
import castalia.protocol.ErrorCode;
import castalia.protocol.layout.ChunkGrid;
import castalia.protocol.planner.Recomputation;
import castalia.workers.model.FlatViews;
import castalia.workers.model.ModelPlan;
import castalia.workers.model.NeoxModel;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.Arrays;
import java.util.function.IntPredicate;
import org.jspecify.annotations.Nullable;

/**
 * Continues a text with the classes that train. Every token is a forward pass over the whole
 * context, padded to a power of two: simple and exact, not made for long texts.
 */
public final class Generator implements AutoCloseable {

    private static final int SHORTEST = 16;

    private final ChunkGrid grid;
    private final Device device;
    private final DType compute;
    private final FlatViews weights;
    private final Arena host = Arena.ofShared();
    private final MemorySegment logits;
    private final float[] row;
    private @Nullable NeoxModel model;

    /**
     * Reads {@code weights} (compute type) at every token; they and the device belong to the
     * caller.
     */
    public Generator(ChunkGrid grid, Device device, FlatViews weights) {
        this.grid = grid;
        this.device = device;
        this.compute = weights.flat().type();
        this.weights = weights;
        int vocabulary = grid.layout().shape().vocabulary();
        this.logits = host.allocate(4L * vocabulary, 64);
        this.row = new float[vocabulary];
    }

    /**
     * Continues a prompt.
     *
     * @param prompt at least one token
     * @param count most tokens to add
     * @param vocabulary tokens the tokenizer knows; others are never chosen
     * @param onToken told of every token; false ends the text
     * @return prompt and continuation
     */
    public int[] generate(
            int[] prompt, int count, int vocabulary, Sampling sampling, IntPredicate onToken) {
        if (prompt.length == 0) {
            throw new IllegalArgumentException("the prompt has no token");
        }
        if (count < 0 || vocabulary < 1) {
            throw new IllegalArgumentException(
                    count + " tokens to add from a vocabulary of " + vocabulary);
        }
        int allowed = Math.min(vocabulary, row.length);
        int[] tokens = Arrays.copyOf(prompt, prompt.length + count);
        int length = prompt.length;
        for (int i = 0; i < count; i++) {
            next(tokens, length);
            requireFinite(allowed, length);
            tokens[length] = sampling.choose(row, allowed, i);
            length++;
            if (!onToken.test(tokens[length - 1])) {
                break;
            }
        }
        return Arrays.copyOf(tokens, length);
    }

    /** Leaves the logits of the token after the first {@code length} in {@link #row}. */
    private void next(int[] tokens, int length) {
        int most = grid.layout().shape().maxPositions();
        int used = Math.min(length, most);
        NeoxModel fitting = modelFor(used);
        int sequence = fitting.plan().sequence();
        try (Arena call = Arena.ofConfined()) {
            MemorySegment ids = call.allocate(4L * sequence, 64);
            for (int i = 0; i < used; i++) {
                ids.setAtIndex(ValueLayout.JAVA_INT, i, tokens[length - used + i]);
            }
            fitting.logits(logits, ids, used - 1, 1);
        }
        MemorySegment.copy(logits, ValueLayout.JAVA_FLOAT, 0, row, 0, row.length);
    }

    private void requireFinite(int allowed, int position) {
        for (int i = 0; i < allowed; i++) {
            if (!Float.isFinite(row[i])) {
                throw new CastaliaException(ErrorCode.NUMERIC_DIVERGED, "the model gives " + row[i]
                        + " for token " + i + " at position " + position
                        + ": its weights are not usable; take an earlier checkpoint");
            }
        }
    }

    /** A model whose size is a function of the length alone: so are the bits of its logits. */
    private NeoxModel modelFor(int length) {
        int most = grid.layout().shape().maxPositions();
        int padded = Math.max(SHORTEST, Integer.highestOneBit(Math.max(1, length - 1)) * 2);
        int wanted = Math.min(most, padded);
        NeoxModel current = model;
        if (current != null && current.plan().sequence() == wanted) {
            return current;
        }
        if (current != null) {
            model = null;
            current.close();
        }
        ModelPlan plan =
                new ModelPlan(grid.layout(), 1, wanted, compute, Recomputation.NONE,
                        ModelPlan.headOf(device));
        NeoxModel made = new NeoxModel(plan, grid, device, weights, false);
        model = made;
        return made;
    }

    @Override
    public void close() {
        if (model != null) {
            model.close();
        }
        host.close();
    }
}
