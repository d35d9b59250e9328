package castalia.workers.data.text;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.ByteArrayInputStream;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.Test;

class ByteLinesTest {
    private static List<String> lines(String text, int longest) throws IOException {
        List<String> lines = new ArrayList<>();
        ByteArrayOutputStream all = new ByteArrayOutputStream();
        try (ByteLines input = new ByteLines(
                new ByteArrayInputStream(text.getBytes(StandardCharsets.ISO_8859_1)), longest)) {
            while (input.next()) {
                lines.add(new String(input.withoutEnd(), StandardCharsets.ISO_8859_1));
                assertThat(input.number()).isEqualTo(lines.size());
                input.appendTo(all);
                assertThat(input.offset()).isEqualTo(all.size());
                if (input.tooLong()) {
                    return lines;
                }
            }
        }
        assertThat(all.toString(StandardCharsets.ISO_8859_1)).isEqualTo(text);
        return lines;
    }

    @Test
    void everyLineComesOnce() throws IOException {
        assertThat(lines("", 10)).isEmpty();
        assertThat(lines("a", 10)).containsExactly("a");
        assertThat(lines("a\n", 10)).containsExactly("a");
        assertThat(lines("\n\r\nb\r\n\nc\r", 10)).containsExactly("", "", "b", "", "c");
    }

    @Test
    void linesLongerThanTheBufferComeWhole() throws IOException {
        String one = "x".repeat(65_535);
        String two = "y".repeat(200_000);
        assertThat(lines(one + "\n" + two + "\n" + one + "\nz", 1 << 20))
                .containsExactly(one, two, one, "z");
    }

    @Test
    void aLineBeyondTheBoundIsCutAndMarked() throws IOException {
        String line = "x".repeat(300_000);
        assertThat(lines("a\n" + line + line + "\n", 100_000)).hasSize(2)
                .last().asString().hasSizeBetween(100_001, 200_000);
    }
}
