package castalia.workers.state;

import castalia.kernels.Buffer;
import castalia.kernels.Kernels;
import castalia.protocol.layout.Chunk;
import castalia.protocol.layout.FlatLayout;
import castalia.protocol.layout.TensorSlice;
import castalia.protocol.model.ModelShape;
import castalia.protocol.model.NeoxParameters;
import castalia.protocol.model.Parameter;
import castalia.protocol.model.Parameter.Role;
import castalia.protocol.model.Parameter.Split;
import java.util.List;
import java.util.function.ToDoubleFunction;

/**
 * Initial weights of any part of the flat space, each element by itself from (seed, tensor,
 * element): whoever computes them gets the same bits. See {@code numerics.md}, section
 * Initialisation.
 */
public final class InitialWeights {

    private final FlatLayout layout;
    private final List<Parameter> parameters;
    private final ToDoubleFunction<Role> std;
    private final long seed;

    /** @param std standard deviation of a matrix */
    public InitialWeights(FlatLayout layout, ToDoubleFunction<Role> std, long seed) {
        this.layout = layout;
        ModelShape shape = layout.shape();
        this.parameters = NeoxParameters.of(shape);
        this.std = std;
        this.seed = seed;
    }

    /** Fills {@code weights}, the buffer of {@code chunk}; padding becomes zero. */
    public void fill(Chunk chunk, Buffer weights, Kernels kernels) {
        kernels.zero(weights, weights.elements());
        for (TensorSlice slice : layout.slices()) {
            long from = Math.max(slice.offset(), chunk.offset());
            long to = Math.min(slice.offset() + slice.elements(), chunk.end());
            if (from < to) {
                fill(slice, from - slice.offset(), to - slice.offset(),
                        weights.slice(from - chunk.offset(), to - from), kernels);
            }
        }
    }

    private void fill(TensorSlice slice, long from, long to, Buffer out, Kernels kernels) {
        Role role = slice.parameter().role();
        switch (role) {
            case LN1_WEIGHT, LN2_WEIGHT, FINAL_LN_WEIGHT ->
                    kernels.fill(out, 1, out.elements());
            case LN1_BIAS, LN2_BIAS, FINAL_LN_BIAS, QKV_BIAS, DENSE_BIAS, UP_BIAS, DOWN_BIAS -> {
                // Zero already.
            }
            case EMBEDDING, QKV_WEIGHT, DENSE_WEIGHT, UP_WEIGHT, DOWN_WEIGHT, HEAD ->
                    normal(slice, from, to, out, kernels);
        }
    }

    /** A chunk may cut a matrix inside a row: a first part of a row, whole rows, a last part. */
    private void normal(TensorSlice slice, long from, long to, Buffer out, Kernels kernels) {
        int columns = slice.columns();
        long at = from;
        while (at < to) {
            int row = (int) (at / columns);
            int column = (int) (at % columns);
            int rows = column == 0 ? (int) ((to - at) / columns) : 0;
            int width = rows > 0 ? columns : (int) Math.min(columns - column, to - at);
            int height = Math.max(1, rows);
            long count = (long) height * width;
            Role role = slice.parameter().role();
            int firstRow = role.split() == Split.ROWS ? slice.slice() * slice.rows() : 0;
            int firstColumn = role.split() == Split.COLUMNS ? slice.slice() * columns : 0;
            kernels.normal(out.slice(at - from, count), std.applyAsDouble(role), seed,
                    parameters.indexOf(slice.parameter()), firstRow + row, firstColumn + column,
                    slice.parameter().columns(), height, width);
            at += count;
        }
    }
}
