package castalia.deploy.doctor;

import com.fasterxml.jackson.annotation.JsonValue;

import java.util.Locale;

/**
 * One line of the doctor.
 *
 * @param what the thing looked at, for example "disk"
 * @param value what was found
 * @param advice what to do about it, empty when nothing
 */
public record Finding(Level level, String what, String value, String advice) {
    /** How bad it is; only FAIL keeps Castalia from running. */
    public enum Level {
        OK,
        WARN,
        FAIL;

        /** As printed, in JSON too. */
        @JsonValue
        public String label() {
            return name().toLowerCase(Locale.ROOT);
        }
    }

    /** Nothing to do. */
    public static Finding ok(String what, String value) {
        return new Finding(Level.OK, what, value, "");
    }

    /** Castalia runs, but worse than it could. */
    public static Finding warn(String what, String value, String advice) {
        return new Finding(Level.WARN, what, value, advice);
    }

    /** Castalia does not run before this is changed. */
    public static Finding fail(String what, String value, String advice) {
        return new Finding(Level.FAIL, what, value, advice);
    }

    /** The same finding about another thing. */
    Finding named(String other) {
        return new Finding(level, other, value, advice);
    }
}
