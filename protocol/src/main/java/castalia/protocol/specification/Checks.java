package castalia.protocol.specification;

import java.nio.charset.StandardCharsets;

/** Checks that several records share. */
final class Checks {

    private static final int SHA256_DIGITS = 64;

    private Checks() {}

    static void sha256(String what, String digits) {
        boolean fits = digits.length() == SHA256_DIGITS
                && digits.chars().allMatch(c -> (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'));
        if (!fits) {
            throw new IllegalArgumentException("SHA-256 of " + what + " must be " + SHA256_DIGITS
                    + " lower-case hexadecimal digits, not '" + shortened(digits) + "'");
        }
    }

    static void deviation(double std) {
        if (!(std > 0) || !Double.isFinite(std)) {
            throw new IllegalArgumentException("init_method_std " + std + " must exceed 0");
        }
    }

    /** A line of text: not empty, no control characters, no half characters, bounded. */
    static void text(String what, String value, int longest) {
        if (value.isEmpty() || value.length() > longest) {
            throw new IllegalArgumentException(what + " has " + value.length()
                    + " characters; it must have 1 to " + longest);
        }
        boolean control = value.chars().anyMatch(Character::isISOControl);
        if (control || !StandardCharsets.UTF_8.newEncoder().canEncode(value)) {
            throw new IllegalArgumentException(
                    what + " contains characters that are not printable text");
        }
    }

    static String shortened(String value) {
        return value.length() <= 80 ? value : value.substring(0, 77) + "...";
    }
}
