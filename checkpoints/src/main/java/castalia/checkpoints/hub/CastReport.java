package castalia.checkpoints.hub;

/**
 * What became of weights that were written in a narrower type.
 *
 * @param type type written
 * @param elements elements written
 * @param rounded elements whose stored value differs from the weight
 * @param overflowed of these, finite weights that became infinite
 * @param vanished of these, weights that became zero
 */
public record CastReport(
        TensorType type, long elements, long rounded, long overflowed, long vanished) {

    /** Whether every stored value equals its weight. */
    public boolean exact() {
        return rounded == 0;
    }
}
