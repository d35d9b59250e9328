package castalia.protocol.checkpoint;

import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;

/** SHA-256 as hexadecimal text. */
final class Hashes {

    static final int BYTES = 32;

    private Hashes() {}

    static MessageDigest sha256() {
        try {
            return MessageDigest.getInstance("SHA-256");
        } catch (NoSuchAlgorithmException e) {
            throw new IllegalStateException("every Java platform has SHA-256", e);
        }
    }

    static void require(String what, String digits) {
        boolean fits = digits.length() == 2 * BYTES
                && digits.chars().allMatch(c -> (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'));
        if (!fits) {
            throw new IllegalArgumentException("the SHA-256 of " + what + " must be " + 2 * BYTES
                    + " lower-case hexadecimal digits; it has " + digits.length() + " characters");
        }
    }
}
