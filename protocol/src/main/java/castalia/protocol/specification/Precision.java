package castalia.protocol.specification;

/**
 * The compute type of a run. Master weights, moments and reduced gradients are fp32 whatever it
 * is.
 */
public enum Precision {
    FP32(4),
    BF16(2),
    /** With dynamic loss scaling. */
    FP16(2);

    private final int bytes;

    Precision(int bytes) {
        this.bytes = bytes;
    }

    /** Size of one element. */
    public int bytes() {
        return bytes;
    }
}
