package castalia.checkpoints.hub;

/** Element types of a safetensors file, by the format's names and in its order. */
public enum TensorType {
    BOOL(1),
    U8(1),
    I8(1),
    F8_E5M2(1),
    F8_E4M3(1),
    F8_E8M0(1),
    I16(2),
    U16(2),
    F16(2),
    BF16(2),
    I32(4),
    U32(4),
    F32(4),
    C64(8),
    F64(8),
    I64(8),
    U64(8);

    private final int bytes;

    TensorType(int bytes) {
        this.bytes = bytes;
    }

    /** Size of one element. */
    public int bytes() {
        return bytes;
    }

    /** Whether weights may be stored in it: every value of it is an fp32 value. */
    public boolean holdsWeights() {
        return this == F32 || this == BF16 || this == F16;
    }
}
