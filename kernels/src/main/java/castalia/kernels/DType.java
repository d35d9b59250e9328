package castalia.kernels;

/** Element types of buffers. */
public enum DType {
    /** IEEE binary32. */
    F32(4),
    /** bfloat16: the upper half of a binary32, rounded to nearest even. */
    BF16(2),
    /** IEEE binary16: subnormals are kept, what is too large becomes infinite. */
    F16(2),
    /** 32-bit signed integer: token ids. */
    I32(4),
    /** IEEE binary64; only the reference back end computes in it, to check derivatives. */
    F64(8);

    private final int bytes;

    DType(int bytes) {
        this.bytes = bytes;
    }

    /** Size of an element in bytes. */
    public int bytes() {
        return bytes;
    }
}
