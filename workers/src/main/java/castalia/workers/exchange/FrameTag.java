package castalia.workers.exchange;

/**
 * Names one frame between two ranks. No two frames of one sender, receiver, generation, step and
 * attempt have the same tag.
 *
 * @param kind what the frame carries
 * @param generation membership and placement it belongs to
 * @param step step it belongs to; for slices the number of the pass in the generation
 * @param attempt how often the step was begun before
 * @param chunk chunk of the grid; 0 for votes; for slices the number of the exchange in the pass
 * @param part first leaf of the tree node for partial sums; for slices the number of the piece; for
 *     what is fetched the number of the request; else 0
 */
public record FrameTag(Kind kind, long generation, long step, int attempt, int chunk, int part) {

    /** What a frame carries. */
    public enum Kind {
        /** A folded subtree of a chunk's gradient, to its owner. */
        PARTIAL_GRADIENT,
        /** A chunk's finished gradient, from owner to buddy. */
        FINISHED_GRADIENT,
        /** A rank's vote. */
        VOTE,
        /** A chunk's new weights in the compute type, from its owner. */
        WEIGHTS,
        /** What every rank stored of a checkpoint. */
        STORED,
        /** A chunk's state, from owner to learner. */
        STATE,
        /** A chunk's committed gradient with its update's scalars, from owner to learner. */
        UPDATE,
        /** A chunk's state, to a rank that holds it from this generation on. */
        MOVE,
        /** Everybody got what was moved so far. */
        MOVED,
        /** A block of rows, or row statistics, between the ranks of a replica. */
        SLICE,
        /** Asks an owner for a chunk's weights in the compute type; has no payload. */
        FETCH,
        /** The answer to a {@link #FETCH}, with the same other fields. */
        FETCHED,
        /** Whether the ranks' devices reach each other's memory. */
        REACH,
        /** A payload that lay in its sender's device was read; step counts those. Has no payload. */
        TAKEN
    }
}
