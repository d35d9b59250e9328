package castalia.protocol.layout;

import castalia.protocol.model.Parameter;

/**
 * One tensor slice in the flat parameter space, a contiguous row-major matrix.
 *
 * @param parameter the tensor it belongs to
 * @param slice 0 to T-1; 0 for a tensor that is not cut
 * @param offset first element in the flat space, a multiple of {@link FlatLayout#ALIGNMENT}
 * @param rows rows of the slice
 * @param columns columns of the slice; 1 for a vector
 */
public record TensorSlice(Parameter parameter, int slice, long offset, int rows, int columns) {

    /** Number of elements, without the padding behind them. */
    public long elements() {
        return (long) rows * columns;
    }

    /**
     * Index in the whole tensor (row-major) of the slice's element (row, column): independent of T,
     * so that initial weights are too.
     */
    public long tensorIndex(int row, int column) {
        return switch (parameter.role().split()) {
            case NONE -> (long) row * parameter.columns() + column;
            case ROWS -> ((long) slice * rows + row) * parameter.columns() + column;
            case COLUMNS -> (long) row * parameter.columns() + (long) slice * columns + column;
        };
    }
}
