package castalia.workers.model;

/** What the backward pass computes again instead of keeping. It never changes a bit. */
public enum Recomputation {
    /** Everything is kept. */
    NONE,
    /** A block keeps its input only. */
    BLOCK
}
