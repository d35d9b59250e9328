package castalia.protocol.model;

/**
 * One tensor of the model.
 *
 * @param layer 0 for the embedding, 1 to L for the blocks, L+1 for final norm and head
 * @param role what the tensor does
 * @param name its name in a Hugging Face GPTNeoX file
 * @param rows first dimension
 * @param columns second dimension; 1 for a vector
 */
public record Parameter(int layer, Role role, String name, int rows, int columns) {

    public Parameter {
        if (rows < 1 || columns < 1) {
            throw new IllegalArgumentException(name + " has shape " + rows + " x " + columns);
        }
    }

    /** What a tensor does in the model, how tensor slices cut it, and how it is trained. */
    public enum Role {
        EMBEDDING(Split.ROWS, true, false),
        QKV_WEIGHT(Split.ROWS, true, false),
        DENSE_WEIGHT(Split.COLUMNS, true, false),
        UP_WEIGHT(Split.ROWS, true, false),
        DOWN_WEIGHT(Split.COLUMNS, true, false),
        LN1_WEIGHT(Split.NONE, false, true),
        LN1_BIAS(Split.NONE, false, true),
        LN2_WEIGHT(Split.NONE, false, true),
        LN2_BIAS(Split.NONE, false, true),
        DENSE_BIAS(Split.NONE, false, true),
        DOWN_BIAS(Split.NONE, false, true),
        QKV_BIAS(Split.ROWS, false, true),
        UP_BIAS(Split.ROWS, false, true),
        FINAL_LN_WEIGHT(Split.NONE, false, true),
        FINAL_LN_BIAS(Split.NONE, false, true),
        HEAD(Split.ROWS, true, false);

        private final Split split;
        private final boolean decay;
        private final boolean vector;

        Role(Split split, boolean decay, boolean vector) {
            this.split = split;
            this.decay = decay;
            this.vector = vector;
        }

        /** How the T tensor slices cut the tensor. */
        public Split split() {
            return split;
        }

        /** Whether AdamW decays it: all matrices do; layer norms and biases do not. */
        public boolean decay() {
            return decay;
        }

        /** Whether the tensor has one dimension. */
        public boolean vector() {
            return vector;
        }
    }

    /** How tensor slices cut a tensor. */
    public enum Split {
        /** Every slice uses the whole tensor; it is stored once. */
        NONE,
        /** Column-parallel: slice s has rows [s R/T, (s+1) R/T). */
        ROWS,
        /** Row-parallel: slice s has columns [s C/T, (s+1) C/T) of every row. */
        COLUMNS
    }

    /** Number of elements. */
    public long elements() {
        return (long) rows * columns;
    }
}
