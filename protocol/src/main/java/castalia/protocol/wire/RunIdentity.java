package castalia.protocol.wire;

import castalia.protocol.specification.RunSpecification;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.HexFormat;

/**
 * The identity of a run: the SHA-256 of its specification's canonical bytes.
 *
 * @param hash 64 lower-case hexadecimal digits
 */
public record RunIdentity(String hash) {

    private static final int DIGITS = 64;
    private static final int SHORT = 12;

    public RunIdentity {
        if (hash.length() != DIGITS
                || !HexFormat.of().formatHex(HexFormat.of().parseHex(hash)).equals(hash)) {
            throw new IllegalArgumentException(
                    "a run's hash is " + DIGITS + " lower-case hexadecimal digits, not " + hash);
        }
    }

    /** The identity of the run that {@code specification} describes. */
    public static RunIdentity of(RunSpecification specification) {
        return new RunIdentity(HexFormat.of().formatHex(sha256(Codecs.encode(specification))));
    }

    /** The first 12 digits: what people see. */
    public String shortId() {
        return hash.substring(0, SHORT);
    }

    private static byte[] sha256(byte[] bytes) {
        try {
            return MessageDigest.getInstance("SHA-256").digest(bytes);
        } catch (NoSuchAlgorithmException e) {
            throw new IllegalStateException("every Java platform has SHA-256", e);
        }
    }
}
