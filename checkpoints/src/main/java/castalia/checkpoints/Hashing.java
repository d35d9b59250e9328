package castalia.checkpoints;

import castalia.protocol.step.StateDigest;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;

/** Hashes of bytes at rest and the digest of states. */
final class Hashing {

    static final int SHA256_BYTES = 32;

    private static final ValueLayout.OfLong WORD = ValueLayout.JAVA_LONG_UNALIGNED;
    private static final long GOLDEN = 0x9E3779B97F4A7C15L;

    private Hashing() {}

    static MessageDigest sha256() {
        try {
            return MessageDigest.getInstance("SHA-256");
        } catch (NoSuchAlgorithmException e) {
            throw new IllegalStateException("every Java platform has SHA-256", e);
        }
    }

    /**
     * The state digest of consecutive elements; the arithmetic is in numerics.md, section Digest.
     *
     * @param offset flat position of the first element, even; the number of elements is even too
     */
    static StateDigest digest(
            long offset, MemorySegment weights, MemorySegment first, MemorySegment second) {
        long a = 0;
        long b = 0;
        long bytes = weights.byteSize();
        for (long at = 0; at < bytes; at += Long.BYTES) {
            long t = ((offset * Float.BYTES + at) / Long.BYTES + 1) * GOLDEN;
            long k1 = (t ^ (t >>> 29)) | 1;
            long s = t * 0xBF58476D1CE4E5B9L;
            long k2 = (s ^ (s >>> 32)) | 1;
            long u = weights.get(WORD, at) * GOLDEN
                    + first.get(WORD, at) * 0xC2B2AE3D27D4EB4FL
                    + second.get(WORD, at) * 0x165667B19E3779F9L;
            a += u * k1;
            b += (u ^ (u >>> 32)) * k2;
        }
        return new StateDigest(a, b);
    }
}
