package castalia.workers.data;

import static org.assertj.core.api.Assertions.assertThat;

import java.nio.file.Path;
import java.util.stream.IntStream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class TokenStatsTest {
    @TempDir Path folder;

    @Test
    void lengthsAndIdsAreCounted() {
        Path prefix = folder.resolve("data");
        try (TokenFileWriter writer = TokenFileWriter.create(prefix, 2000)) {
            for (int length = 1; length <= 100; length++) {
                int[] tokens = IntStream.range(0, length).map(i -> 10 + i % 3).toArray();
                tokens[length - 1] = 0;
                writer.addDocument(tokens, length);
            }
            writer.addSequence(new int[] {1999}, 0, 1);
            writer.endDocument();
            writer.endDocument();
            writer.finish();
        }
        try (TokenFile file = TokenFile.open(prefix)) {
            TokenStats stats = TokenStats.of(file, true, DataProgress.none());
            assertThat(stats.sequences()).isEqualTo(101);
            assertThat(stats.documents()).isEqualTo(102);
            assertThat(stats.tokens()).isEqualTo(5051);
            assertThat(stats.lengths()).isEqualTo(new TokenStats.Lengths(1, 50, 90, 99, 100));
            assertThat(stats.smallest()).isZero();
            assertThat(stats.largest()).isEqualTo(1999);
            assertThat(stats.distinct()).isEqualTo(5);
            assertThat(stats.lastTokens()).containsExactly(
                    new TokenStats.Count(0, 100), new TokenStats.Count(1999, 1));
            assertThat(stats.common().getFirst().id()).isEqualTo(10);
            assertThat(stats.common().stream().mapToLong(TokenStats.Count::count).sum())
                    .isEqualTo(5051);
            TokenStats quick = TokenStats.of(file, false, DataProgress.none());
            assertThat(quick.lengths()).isEqualTo(stats.lengths());
            assertThat(quick.largest()).isEqualTo(-1);
        }
    }

    @Test
    void veryLongSequencesAreRoundedUpToAPowerOfTwo() {
        Path prefix = folder.resolve("long");
        try (TokenFileWriter writer = TokenFileWriter.create(prefix, 10)) {
            for (int length : new int[] {5, (1 << 20) - 1, (1 << 20) + 1, 3 << 20}) {
                writer.addDocument(new int[length], length);
            }
            writer.finish();
        }
        try (TokenFile file = TokenFile.open(prefix)) {
            assertThat(TokenStats.of(file, false, DataProgress.none()).lengths())
                    .isEqualTo(new TokenStats.Lengths(5, (1 << 20) - 1, 3 << 20, 3 << 20, 3 << 20));
        }
    }
}
