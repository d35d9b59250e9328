package castalia.protocol.step;

/**
 * Two position-keyed 64-bit sums over weights and moments. Sums of parts add up (modulo 2^64), so
 * the digest of a state does not depend on how it is cut. It finds corruption; it is no
 * cryptographic hash. The arithmetic per element is in {@code numerics.md}, section Digest.
 */
public record StateDigest(long a, long b) {

    public static final StateDigest ZERO = new StateDigest(0, 0);

    public StateDigest plus(StateDigest other) {
        return new StateDigest(a + other.a, b + other.b);
    }

    /** 32 hexadecimal digits. */
    public String hex() {
        return "%016x%016x".formatted(a, b);
    }
}
