package castalia.deploy.configuration;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.assertj.core.api.Assertions.catchThrowableOfType;

import castalia.deploy.configuration.YamlTree.NotYamlException;
import castalia.deploy.configuration.YamlValue.Mapping;
import castalia.deploy.configuration.YamlValue.Scalar;
import castalia.deploy.configuration.YamlValue.ScalarType;
import castalia.protocol.specification.Problems;
import castalia.protocol.specification.ProblemsException;
import com.sun.management.ThreadMXBean;
import java.lang.management.ManagementFactory;
import java.util.Random;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

@Timeout(value = 60, unit = TimeUnit.SECONDS)
class YamlTreeTest {

    @Test
    void blockAndFlowStyleGiveTheSameKeys() throws NotYamlException {
        Mapping flow = YamlTree.parse("{\n  # comment\n  \"a\": 1, # why\n  \"b\": [x, 2.5],\n}\n");
        Mapping block = YamlTree.parse("# comment\n\na: 1 # why\nb:\n- x\n- 2.5\n");
        assertThat(flow.entries()).map(YamlValue.Pair::key).containsExactly("a", "b");
        assertThat(block.entries()).map(YamlValue.Pair::key).containsExactly("a", "b");
        assertThat(flow.entries()).map(YamlValue.Pair::line).containsExactly(3, 4);
        assertThat(block.entries()).map(YamlValue.Pair::line).containsExactly(3, 4);
    }

    @ParameterizedTest
    @CsvSource({
        "1, INTEGER", "-1, INTEGER", "1.0e-8, NUMBER", "1e-8, NUMBER", ".inf, NUMBER",
        "true, BOOLEAN", "False, BOOLEAN", "null, NULL", "~, NULL", "yes, TEXT", "on, TEXT",
        "1.2.3, TEXT", "'\"1\"', TEXT", "flash, TEXT",
    })
    void scalarsHaveTheTypesOfTheCoreSchema(String text, ScalarType type) throws NotYamlException {
        Mapping mapping = YamlTree.parse("a: " + text);
        assertThat(mapping.entries().getFirst().value())
                .isInstanceOfSatisfying(Scalar.class, s -> assertThat(s.type()).isEqualTo(type));
    }

    @ParameterizedTest
    @CsvSource(delimiter = '|', value = {
        "'' | 1 | is empty",
        "'# nothing' | 1 | is empty",
        "[a] | 1 | must consist of keys and values, not of a list",
        "word | 1 | must consist of keys and values, not of 'word'",
        "'a: &x 1\nb: *x' | 1 | uses an anchor or alias; write the value out",
        "'a: !!binary aGk=' | 1 | uses the tag tag:yaml.org,2002:binary, which is not supported",
        "'a: !own x' | 1 | uses the tag !own, which is not supported",
        "'{[a]: b}' | 1 | is not YAML: Non scalar key is detected but it is not configured to be"
                + " allowed.",
        "'a: 1\n b: 2' | 2 | is not YAML (column 3): mapping values are not allowed here",
        "'{a: 1,\nb: 2\n\n# c\nc: 3}' | 5 | is not YAML (column 1): expected ',' or '}', but got ?; is a comma"
                + " missing at the end of line 2?",
        "'a: \"open' | 1 | is not YAML (column 9): found unexpected end of stream",
    })
    void whatIsNoConfigurationIsRefusedWithItsLine(String text, int line, String message) {
        NotYamlException e =
                catchThrowableOfType(NotYamlException.class, () -> YamlTree.parse(text));
        assertThat(e).hasMessage(message);
        assertThat(e.line()).isEqualTo(line);
    }

    @Test
    void deepNestingAndLongTextsAreRefused() {
        assertThatThrownBy(() -> YamlTree.parse("a: " + "[".repeat(20) + "]".repeat(20)))
                .hasMessage("is nested deeper than 12 levels");
        assertThatThrownBy(() -> YamlTree.parse("a: " + "[".repeat(100_000)))
                .isInstanceOf(NotYamlException.class);
        assertThatThrownBy(() -> YamlTree.parse("a".repeat(YamlTree.LONGEST + 1)))
                .hasMessage("is longer than 1048576 characters");
    }

    @Test
    void anAliasThatContainsItselfIsRefused() {
        assertThatThrownBy(() -> YamlTree.parse("a: &x [*x]"))
                .isInstanceOf(NotYamlException.class);
    }

    @ParameterizedTest
    @ValueSource(strings = {"a: 1\n", "[", "{", "- ", "a: {b: c}\n", "[a,", "{a: b},", "\"x\": \"y\",",
        "? a\n", "&a ", "!t ", "'", "\"\\x41", "# c\n", "|", "x ", "\n", "a: [1, 2, [3]]\n", ": "})
    void memoryIsASmallMultipleOfTheText(String piece) {
        ThreadMXBean threads = (ThreadMXBean) ManagementFactory.getThreadMXBean();
        for (String start : new String[] {"", "a: [", "{", "a: \""}) {
            for (int length : new int[] {2_000, 300_000}) {
                String text = start + piece.repeat(length / piece.length());
                parsedOrRefused(text);
                long before = threads.getCurrentThreadAllocatedBytes();
                parsedOrRefused(text);
                long allocated = threads.getCurrentThreadAllocatedBytes() - before;
                assertThat(allocated).as("%d characters: %.20s", text.length(), text)
                        .isLessThan((1L << 20) + 1000L * text.length())
                        .isLessThan(128L << 20);
            }
        }
    }

    private static void parsedOrRefused(String text) {
        try {
            NeoxYaml.parse("f.yml", text, _ -> 100, new Problems());
        } catch (ProblemsException e) {
            assertThat(e.getMessage()).startsWith("f.yml:").hasSizeLessThan(40_000);
        }
    }

    @Test
    void damagedConfigurationsAreReadOrRefusedButNeverAnythingElse() {
        Random random = new Random(7);
        String[] samples = {
            Texts.resource("everything.yml"),
            Texts.resource("smallest.yml"),
            Texts.resource("wrong.yml"),
        };
        String spice = "{}[]:,-_#\"'&*!|>%@`\n \t09.exnull~\u0000\uD800é";
        int refused = 0;
        for (int i = 0; i < 600; i++) {
            StringBuilder text = new StringBuilder(samples[random.nextInt(samples.length)]);
            for (int c = 0; c <= random.nextInt(3); c++) {
                int at = random.nextInt(text.length());
                switch (random.nextInt(3)) {
                    case 0 -> text.setCharAt(at, spice.charAt(random.nextInt(spice.length())));
                    case 1 -> text.deleteCharAt(at);
                    default -> text.insert(at, spice.charAt(random.nextInt(spice.length())));
                }
            }
            try {
                NeoxYaml.parse("f.yml", text.toString(), _ -> 100, new Problems());
            } catch (ProblemsException e) {
                assertThat(e.getMessage().lines()).allMatch(line -> line.startsWith("f.yml:"));
                refused++;
            } catch (RuntimeException | StackOverflowError e) {
                throw new AssertionError("text " + i + ":\n" + text, e);
            }
        }
        assertThat(refused).isGreaterThan(200);
    }
}
