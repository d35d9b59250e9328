package castalia.deploy.configuration;

import static org.assertj.core.api.Assertions.catchThrowableOfType;

import castalia.protocol.specification.Problems;
import castalia.protocol.specification.Problems.Problem;
import castalia.protocol.specification.ProblemsException;
import java.io.IOException;
import java.io.InputStream;
import java.io.UncheckedIOException;
import java.nio.charset.StandardCharsets;
import java.util.List;

/** Configurations that tests share, and how they are read. */
final class Texts {

    static final TokenizerSize SIZE = _ -> 1000;

    private Texts() {}

    static String resource(String name) {
        try (InputStream in = Texts.class.getResourceAsStream("/configuration/" + name)) {
            if (in == null) {
                throw new IllegalStateException("no test resource " + name);
            }
            return new String(in.readAllBytes(), StandardCharsets.UTF_8);
        } catch (IOException e) {
            throw new UncheckedIOException(name, e);
        }
    }

    static TrainingConfiguration parse(String text) {
        return NeoxYaml.parse("test.yml", text, SIZE, new Problems());
    }

    static List<String> errors(String text) {
        ProblemsException e =
                catchThrowableOfType(ProblemsException.class, () -> parse(text));
        return e.problems().stream().map(Problem::toString).toList();
    }

    /** The smallest configuration with one line more. */
    static String with(String line) {
        return resource("smallest.yml") + line + "\n";
    }

    /** The smallest configuration with one key of the castalia block more. */
    static String withCastalia(String entry) {
        return resource("smallest.yml")
                .replace("{vocabulary: 300}", "{vocabulary: 300, " + entry + "}");
    }

    /** The smallest configuration without the line of a key. */
    static String without(String key) {
        return resource("smallest.yml").replaceAll("(?m)^" + key + ":.*\n", "");
    }
}
