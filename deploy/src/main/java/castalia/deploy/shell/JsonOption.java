package castalia.deploy.shell;

import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.databind.ObjectMapper;

import picocli.CommandLine.Option;

import java.io.PrintWriter;

/**
 * The option {@code --json} of a command, used as a picocli mixin. Whatever a command prints for
 * people comes first; the last line of stdout is then one JSON object.
 */
public final class JsonOption {
    private static final ObjectMapper MAPPER = new ObjectMapper();

    @Option(names = "--json", description = "End with one line of JSON on stdout.")
    private boolean json;

    /** Whether JSON was asked for. */
    public boolean wanted() {
        return json;
    }

    /**
     * Prints {@code value} as the last line when JSON was asked for, else nothing.
     *
     * @param value a record, map or list that Jackson can write; fields in the order of declaration
     */
    public void printLast(PrintWriter out, Object value) {
        if (json) {
            out.println(line(value));
            out.flush();
        }
    }

    /** {@code value} as JSON without a line break. */
    public static String line(Object value) {
        try {
            return MAPPER.writeValueAsString(value);
        } catch (JsonProcessingException e) {
            throw new IllegalArgumentException("no JSON for " + value.getClass().getName(), e);
        }
    }
}
