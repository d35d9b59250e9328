package castalia.kernels;

/** Receives the two sums of a state digest; reused by the caller so that calls allocate nothing. */
public final class DigestSum {

    /** First sum. */
    public long a;

    /** Second sum. */
    public long b;
}
