package castalia.protocol.planner;

/**
 * Payload bytes of one rank and step, by kind, in one direction.
 *
 * @param partials gradients that are not finished, to owners
 * @param finished finished gradients, from owners to other holders
 * @param weights new weights, from owners to those who compute with them
 * @param slices what the ranks of a replica give each other while they compute
 * @param votes votes
 */
public record Traffic(long partials, long finished, long weights, long slices, long votes) {

    /** All kinds. */
    public long total() {
        return partials + finished + weights + slices + votes;
    }
}
