package castalia.workers.data;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import castalia.workers.data.SampleOrder.Request;
import com.fasterxml.jackson.databind.JsonNode;
import java.util.Arrays;
import java.util.Random;
import java.util.stream.IntStream;
import java.util.stream.LongStream;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;
import org.junit.jupiter.params.provider.ValueSource;

class SampleOrderTest {
    static Stream<Fixtures.Case> cases() {
        return Fixtures.Case.all();
    }

    private static SampleOrder order(Fixtures.Case c) {
        return SampleOrder.build(SequenceSizes.of(c.ints("sizes")), c.request());
    }

    @ParameterizedTest
    @MethodSource("cases")
    void theArraysAreThoseOfGptNeox(Fixtures.Case c) {
        SampleOrder order = order(c);
        assertThat(order.tokensPerEpoch()).isEqualTo(c.json().get("tokens_per_epoch").asLong());
        assertThat(order.epochs()).isEqualTo(c.json().get("num_epochs").asLong());
        assertThat(order.samples()).isEqualTo(c.json().get("n_samples").asLong());
        assertThat(order.length()).isEqualTo(c.json().get("dataset_len").asLong());
        assertThat(LongStream.range(0, order.documentPositions()).map(order::documentAt))
                .containsExactlyElementsOf(
                        Arrays.stream(c.ints("doc_idx")).mapToObj(Long::valueOf).toList());
        assertThat(LongStream.range(0, order.samples()).map(order::shuffled))
                .containsExactlyElementsOf(
                        Arrays.stream(c.ints("shuffle_idx")).mapToObj(Long::valueOf).toList());
        JsonNode samples = c.json().get("sample_idx");
        assertThat(order.samples() + 1).isEqualTo(samples.size());
        for (int i = 0; i < samples.size(); i++) {
            assertThat(order.samplePosition(i)).isEqualTo(samples.get(i).get(0).asLong());
            assertThat(order.sampleOffset(i)).isEqualTo(samples.get(i).get(1).asInt());
        }
    }

    @ParameterizedTest
    @MethodSource("cases")
    void theHashesOfTheArraysAreThoseOfGptNeox(Fixtures.Case c) {
        SampleOrder order = order(c);
        assertThat(Fixtures.sha256(order.documentPositions(), 4, order::documentAt))
                .isEqualTo(c.text("sha256_doc_idx_int32le"));
        assertThat(Fixtures.sha256(2 * order.samples() + 2, 8,
                        i -> i % 2 == 0 ? order.samplePosition(i / 2) : order.sampleOffset(i / 2)))
                .isEqualTo(c.text("sha256_sample_idx_int64le"));
        assertThat(Fixtures.sha256(order.samples(), 8, order::shuffled))
                .isEqualTo(c.text("sha256_shuffle_idx_int64le"));
    }

    @ParameterizedTest
    @MethodSource("cases")
    void theGeneratorStandsWhereNumpysDoesAfterBothShuffles(Fixtures.Case c) {
        NumpyRandomState random = new NumpyRandomState(c.request().seed());
        SampleOrder.build(SequenceSizes.of(c.ints("sizes")), c.request(), random);
        for (JsonNode expected : c.json().get("rng_next_u32_after")) {
            assertThat(random.nextU32()).isEqualTo(expected.asLong());
        }
    }

    @ParameterizedTest
    @MethodSource("cases")
    void everyItemHoldsTheTokensOfGptNeox(Fixtures.Case c) {
        try (TokenFile file = TokenFile.open(Fixtures.prefix(c.name()))) {
            SampleReader reader =
                    new SampleReader(file, SampleOrder.build(file, c.request()));
            int[][] items = IntStream.range(0, (int) reader.order().length())
                    .mapToObj(reader::item)
                    .toArray(int[][]::new);
            JsonNode expected = c.json().get("items");
            assertThat(items.length).isEqualTo(expected.size());
            for (int i = 0; i < items.length; i++) {
                assertThat(items[i]).isEqualTo(Fixtures.ints(expected.get(i)));
            }
            int width = c.request().sequenceLength() + 1;
            assertThat(Fixtures.sha256((long) items.length * width, 8,
                            i -> items[(int) i / width][(int) i % width]))
                    .isEqualTo(c.text("sha256_all_items_int64le"));
        }
    }

    @Test
    void indicesBeyondTheLengthWrapAround() {
        SampleOrder order = order(Fixtures.Case.named("multi_epoch"));
        assertThat(order.sampleAt(order.length())).isEqualTo(order.sampleAt(0));
        assertThat(order.sampleAt(3 * order.length() + 5)).isEqualTo(order.sampleAt(5));
    }

    @Test
    void moreSamplesThanTheRequestNeedsDoNotChangeTheOrder() {
        SequenceSizes sizes = SequenceSizes.of(Fixtures.Case.named("multi_epoch").ints("sizes"));
        SampleOrder few = SampleOrder.build(sizes, Request.all(sizes, 16, 100, 1234));
        SampleOrder more = SampleOrder.build(sizes, Request.all(sizes, 16, 178, 1234));
        assertThat(more.samples()).isEqualTo(few.samples());
        assertThat(LongStream.range(0, few.samples()).map(few::shuffled).toArray())
                .isEqualTo(LongStream.range(0, more.samples()).map(more::shuffled).toArray());
        assertThat(SampleOrder.build(sizes, Request.all(sizes, 16, 179, 1234)).epochs())
                .isEqualTo(few.epochs() + 1);
    }

    @Test
    void anOrderOfOneSampleIsBuiltAndTrainsNobody() {
        SampleOrder order =
                SampleOrder.build(SequenceSizes.of(3, 4), new Request(0, 2, 5, 1, 1));
        assertThat(order.samples()).isEqualTo(1);
        assertThat(order.length()).isZero();
        assertThatThrownBy(order::requireSamples)
                .isInstanceOf(DataException.class)
                .hasMessageContaining("7 tokens");
    }

    /** GPT-NeoX's loops written down once more, plainly, on data sets nobody chose. */
    @ParameterizedTest
    @ValueSource(ints = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20})
    void randomDataSetsAreOrderedAsByThePlainLoops(int seed) {
        Random random = new Random(seed);
        for (int round = 0; round < 20; round++) {
            int count = random.nextInt(4) == 0 ? 1 : 1 + random.nextInt(60);
            int longest = 1 << random.nextInt(11);
            int[] sizes = IntStream.range(0, count)
                    .map(i -> random.nextInt(5) == 0 ? 0 : random.nextInt(longest + 1))
                    .toArray();
            sizes[random.nextInt(count)] = 1 + random.nextInt(longest);
            int from = random.nextInt(count);
            int to = from + 1 + random.nextInt(count - from);
            if (IntStream.range(from, to).map(i -> sizes[i]).sum() == 0) {
                continue;
            }
            Request request = new Request(from, to, 1 + random.nextInt(40),
                    1 + random.nextInt(500), random.nextInt(1 << 30));
            same(SampleOrder.build(SequenceSizes.of(sizes), request),
                    PlainOrder.of(sizes, request));
        }
    }

    private static void same(SampleOrder order, PlainOrder plain) {
        assertThat(LongStream.range(0, order.documentPositions()).mapToInt(
                        i -> (int) order.documentAt(i)).toArray())
                .isEqualTo(plain.documents());
        assertThat(LongStream.range(0, 2 * order.samples() + 2).mapToInt(i -> i % 2 == 0
                        ? (int) order.samplePosition(i / 2)
                        : order.sampleOffset(i / 2)).toArray())
                .isEqualTo(plain.samples());
        assertThat(LongStream.range(0, order.samples()).mapToInt(
                        i -> (int) order.shuffled(i)).toArray())
                .isEqualTo(plain.shuffle());
    }

    @Test
    void impossibleRequestsAreRefusedWithTheirValues() {
        SequenceSizes sizes = SequenceSizes.of(3, 4);
        assertThatThrownBy(() -> SampleOrder.build(sizes, new Request(0, 3, 2, 1, 1)))
                .isInstanceOf(DataException.class)
                .hasMessageContaining("0:3")
                .hasMessageContaining("only 2");
        assertThatThrownBy(() -> SampleOrder.build(
                        SequenceSizes.of(0, 0), new Request(0, 2, 5, 1, 1)))
                .isInstanceOf(DataException.class)
                .hasMessageContaining("no tokens");
        assertThatThrownBy(() -> SampleOrder.build(
                        sizes, new Request(0, 2, 2048, Long.MAX_VALUE / 2, 1)))
                .isInstanceOf(DataException.class)
                .hasMessageContaining("fewer");
        assertThatThrownBy(() -> new Request(2, 2, 16, 1, 1))
                .isInstanceOf(DataException.class)
                .hasMessageContaining("2:2");
        assertThatThrownBy(() -> new Request(0, 2, 16, 0, 1)).isInstanceOf(DataException.class);
        assertThatThrownBy(() -> new Request(0, 2, 16, 1, -1)).isInstanceOf(DataException.class);
    }
}
