package castalia.workers.data;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.IOException;
import java.lang.foreign.MemorySegment;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Random;
import java.util.stream.IntStream;
import java.util.stream.Stream;
import java.util.stream.StreamSupport;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

class BlendingTest {
    @TempDir Path folder;

    static Stream<JsonNode> blends() throws IOException {
        JsonNode more = new ObjectMapper()
                .readTree(Files.readString(Fixtures.file("blending-numpy.json")));
        return Stream.of(Fixtures.root().get("blending"), more)
                .flatMap(node -> StreamSupport.stream(node.spliterator(), false));
    }

    @ParameterizedTest(name = "{index}")
    @MethodSource("blends")
    void everyIndexIsThatOfGptNeox(JsonNode blend) {
        double[] weights = StreamSupport.stream(blend.get("weights").spliterator(), false)
                .mapToDouble(JsonNode::asDouble).toArray();
        int size = blend.get("size").asInt();
        Blending blending = Blending.build(Blending.shares(weights), size);
        assertThat(blending.length()).isEqualTo(size);
        if (blend.has("sha256_dataset_index_uint8")) {
            assertThat(Fixtures.sha256(size, 1, blending::set))
                    .isEqualTo(blend.get("sha256_dataset_index_uint8").asText());
            assertThat(Fixtures.sha256(size, 8, blending::indexInSet))
                    .isEqualTo(blend.get("sha256_dataset_sample_index_int64le").asText());
            return;
        }
        assertThat(IntStream.range(0, size).map(blending::set).toArray())
                .isEqualTo(Fixtures.ints(blend.get("dataset_index")));
        assertThat(IntStream.range(0, size).map(i -> (int) blending.indexInSet(i)).toArray())
                .isEqualTo(Fixtures.ints(blend.get("dataset_sample_index")));
    }

    @Test
    void weightsThatAreNoneAreRefused() {
        assertThatThrownBy(() -> Blending.shares()).isInstanceOf(DataException.class);
        assertThatThrownBy(() -> Blending.shares(1, 0))
                .isInstanceOf(DataException.class).hasMessageContaining("0.0");
        assertThatThrownBy(() -> Blending.shares(1, Double.NaN))
                .isInstanceOf(DataException.class);
        assertThatThrownBy(() -> Blending.shares(new double[255]))
                .isInstanceOf(DataException.class).hasMessageContaining("255");
    }

    private TokenFile file(String name, int first, int documents) {
        Path prefix = folder.resolve(name);
        Random random = new Random(first);
        int token = first;
        try (TokenFileWriter writer = TokenFileWriter.create(prefix, 60_000)) {
            for (int d = 0; d < documents; d++) {
                int[] tokens = new int[1 + random.nextInt(20)];
                for (int i = 0; i < tokens.length; i++) {
                    tokens[i] = token++;
                }
                writer.addDocument(tokens, tokens.length);
            }
            writer.finish();
        }
        return TokenFile.open(prefix);
    }

    @Test
    void aBlendReadsEachSetInItsOwnOrderAndWrapsWithinIt() {
        try (TokenFile one = file("one", 0, 40); TokenFile other = file("other", 30_000, 30)) {
            double[] weights = {0.75, 0.25};
            double[] shares = Blending.shares(weights);
            List<SampleReader> sets = new ArrayList<>();
            List<TokenFile> files = List.of(one, other);
            for (int i = 0; i < 2; i++) {
                sets.add(new SampleReader(files.get(i), SampleOrder.build(files.get(i),
                        SampleOrder.Request.all(files.get(i), 8,
                                Splits.requested(120, shares[i]), 5))));
            }
            BlendedSamples blend = new BlendedSamples(sets, weights, 120);
            long length = sets.get(0).length() + sets.get(1).length();
            assertThat(blend.length()).isEqualTo(length);
            Blending plan = Blending.build(shares, 120);
            for (long i = 0; i < Math.min(length, 120); i++) {
                SampleReader set = sets.get(plan.set(i));
                long at = plan.indexInSet(i);
                long sample = at < set.order().samples()
                        ? set.order().shuffled(at)
                        : set.order().shuffled(at % set.order().length());
                int[] expected = new int[9];
                set.sampleTokens(sample, 0, 9, MemorySegment.ofArray(expected), 0);
                assertThat(blend.item(i)).isEqualTo(expected);
                assertThat(blend.pieces(i).stream().mapToInt(Samples.Piece::count).sum())
                        .isEqualTo(9);
                assertThat(blend.pieces(i).getFirst().file())
                        .endsWith(plan.set(i) == 0 ? "one" : "other");
                assertThat(blend.describe(i, 0)).contains("holds " + expected[0]);
            }
            assertThat(blend.description())
                    .contains("data.kind=blend", "data.sets=2", "data.1.weight=0.25")
                    .doesNotHaveDuplicates();
            assertThatThrownBy(() -> blend.item(-1)).isInstanceOf(RuntimeException.class);
        }
    }
}
