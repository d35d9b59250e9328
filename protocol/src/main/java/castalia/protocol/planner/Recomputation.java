package castalia.protocol.planner;

/**
 * What the backward pass computes again instead of keeping; from the fastest to the smallest. It never
 * changes a bit. Outputs of layer norms and of GELU are always computed again: that costs less than a
 * hundredth of a step and they are as large as all the rest.
 */
public enum Recomputation {
    /** Nothing that takes a matrix product. */
    NONE,
    /** QKV and attention. A block keeps its input and what goes into GELU. */
    ATTENTION,
    /** A block keeps its input only. */
    BLOCK
}
