package castalia.deploy.shell;

import castalia.protocol.CastaliaException;
import castalia.protocol.ErrorCode;
import java.math.BigDecimal;
import java.util.List;
import java.util.Locale;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/** Numbers with a prefix and a unit, as people write them: {@code 80GiB}, {@code 50 GB/s}, {@code 100T}. */
public final class Quantity {

    private static final Pattern TEXT =
            Pattern.compile("(\\d{1,15}(?:\\.\\d{1,15})?) ?([kKMGTP]?)(i?)([A-Za-z/]*)");
    private static final String PREFIXES = "KMGTP";

    /** The greatest number accepted: far above every machine, far below 2^63. */
    private static final BigDecimal MOST = BigDecimal.valueOf(1L << 60);

    private Quantity() {}

    /**
     * Reads a number of at least one: prefixes k, M, G, T, P are powers of 1000, Ki, Mi, ... of 1024.
     *
     * @param option named in the error
     * @param units what may follow the prefix; nothing always may
     * @throws CastaliaException if it is no such number
     */
    public static long parse(String option, String text, List<String> units) {
        Matcher all = TEXT.matcher(text.strip());
        if (all.matches() && (all.group(4).isEmpty() || units.contains(all.group(4)))
                && (all.group(3).isEmpty() || !all.group(2).isEmpty())) {
            int power = all.group(2).isEmpty() ? 0
                    : 1 + PREFIXES.indexOf(all.group(2).toUpperCase(Locale.ROOT));
            BigDecimal base = BigDecimal.valueOf(all.group(3).isEmpty() ? 1000 : 1024);
            BigDecimal value = new BigDecimal(all.group(1)).multiply(base.pow(power));
            if (value.compareTo(BigDecimal.ONE) >= 0 && value.compareTo(MOST) <= 0) {
                return value.longValue();
            }
        }
        throw new CastaliaException(ErrorCode.CONFIG_INVALID, option + " '" + text
                + "' is no number of at least 1, such as 80G or 80Gi"
                + (units.isEmpty() ? "" : " or 80G" + units.getFirst()));
    }

    /** A number of bytes. */
    public static long bytes(String option, String text) {
        return parse(option, text, List.of("B"));
    }

    /** Bytes per second. */
    public static long bytesPerSecond(String option, String text) {
        return parse(option, text, List.of("B/s", "B"));
    }

    /** Floating-point operations per second. */
    public static long flops(String option, String text) {
        return parse(option, text, List.of("FLOP/s", "FLOPS", "F"));
    }
}
