package castalia.workers.data;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import castalia.workers.data.SampleOrder.Request;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.stream.IntStream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

class BatchesTest {
    @TempDir Path folder;

    /** The rows [S + 1] a micro-batch consists of, put together from inputs and labels. */
    static List<int[]> rows(BatchSource source, long step, int virtualRank, int micro) {
        BatchShape shape = source.shape();
        int length = shape.sequenceLength();
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment inputs = arena.allocate(4L * shape.tokens());
            MemorySegment labels = arena.allocate(4L * shape.tokens());
            source.fill(step, virtualRank, micro, inputs, labels);
            int[] in = inputs.toArray(ValueLayout.JAVA_INT);
            int[] out = labels.toArray(ValueLayout.JAVA_INT);
            List<int[]> rows = new ArrayList<>();
            for (int r = 0; r < shape.microBatch(); r++) {
                int[] row = new int[length + 1];
                System.arraycopy(in, r * length, row, 0, length);
                row[length] = out[r * length + length - 1];
                for (int p = 0; p < length; p++) {
                    assertThat(out[r * length + p]).isEqualTo(row[p + 1]);
                }
                rows.add(row);
            }
            return rows;
        }
    }

    @ParameterizedTest
    @CsvSource({"8, 1, 8", "8, 4, 2", "8, 2, 1", "8, 8, 1", "6, 3, 2"})
    void theRowsOfAStepAreItsDatasetIndicesHoweverTheBatchIsCut(int batch, int v, int micro) {
        Fixtures.Case c = Fixtures.Case.named("multi_epoch");
        try (TokenFile file = TokenFile.open(Fixtures.prefix(c.name()))) {
            SampleReader reader = new SampleReader(file, SampleOrder.build(file, c.request()));
            BatchShape shape = new BatchShape(batch, v, micro, 16);
            TokenBatches batches = new TokenBatches(reader, shape, 50_304);
            for (long step : new long[] {0, 3, 1, 30}) {
                List<int[]> rows = new ArrayList<>();
                for (int rank = 0; rank < v; rank++) {
                    for (int m = 0; m < shape.microBatches(); m++) {
                        rows.addAll(rows(batches, step, rank, m));
                    }
                }
                assertThat(rows).hasSize(batch);
                for (int row = 0; row < batch; row++) {
                    assertThat(rows.get(row)).isEqualTo(reader.item(step * batch + row));
                }
            }
        }
    }

    @Test
    void anIdOutsideTheVocabularyIsRefusedWithFilePlaceAndValue() {
        Path prefix = folder.resolve("data");
        try (TokenFileWriter writer = TokenFileWriter.create(prefix, 1000)) {
            int[] tokens = IntStream.range(0, 50).map(i -> i == 37 ? 640 : i).toArray();
            writer.addDocument(tokens, 20);
            writer.addDocument(java.util.Arrays.copyOfRange(tokens, 20, 50), 30);
            writer.finish();
        }
        try (TokenFile file = TokenFile.open(prefix)) {
            SampleOrder order = SampleOrder.build(file, Request.all(file, 4, 12, 1));
            BatchShape shape = new BatchShape(11, 1, 11, 4);
            SampleReader reader = new SampleReader(file, order);
            assertThat(rows(new TokenBatches(reader, shape, 641), 0, 0, 0)).hasSize(11);
            assertThatThrownBy(() -> rows(new TokenBatches(reader, shape, 640), 0, 0, 0))
                    .isInstanceOf(DataException.class)
                    .hasMessageContainingAll(
                            "data.bin", "byte 74", "sequence 1, position 17", "640");
        }
    }

    @Test
    void theDescriptionNamesTheDataItsHashesAndTheOrder() {
        Fixtures.Case c = Fixtures.Case.named("train_split_subset");
        try (TokenFile file = TokenFile.open(Fixtures.prefix(c.name()))) {
            SampleReader reader = new SampleReader(file, SampleOrder.build(file, c.request()));
            List<String> lines =
                    new TokenBatches(reader, new BatchShape(2, 1, 2, 16), 50_304).description();
            assertThat(lines).contains("data.kind=tokens", "data.name=train_split_subset",
                    "data.bin.sha256=" + c.text("sha256_bin"),
                    "data.idx.sha256=" + c.text("sha256_idx"),
                    "order.documents=5:36", "order.seed=1234", "order.samples=100");
        }
    }

    @Test
    void syntheticTokensAreInTheVocabularyUniformAndAFunctionOfSeedAndIndex() {
        BatchShape shape = new BatchShape(4, 2, 2, 500);
        SyntheticBatches batches = new SyntheticBatches(shape, 10, 7);
        int[] counts = new int[10];
        for (int[] row : rows(batches, 5, 1, 0)) {
            for (int token : row) {
                counts[token]++;
            }
        }
        assertThat(java.util.Arrays.stream(counts)).allMatch(count -> count > 60);
        assertThat(rows(batches, 5, 1, 0).get(0)).isEqualTo(rows(batches, 5, 1, 0).get(0));
        assertThat(rows(batches, 5, 1, 0).get(0)).isNotEqualTo(rows(batches, 5, 0, 0).get(0));
        assertThat(rows(batches, 5, 1, 0).get(0))
                .isNotEqualTo(rows(new SyntheticBatches(shape, 10, 8), 5, 1, 0).get(0));
        BatchShape other = new BatchShape(2, 1, 1, 500);
        assertThat(rows(new SyntheticBatches(other, 10, 7), 11, 0, 0).get(0))
                .isEqualTo(rows(batches, 5, 1, 0).get(0));
        assertThat(batches.description()).contains("data.seed=7", "data.vocabulary=10");
    }

    /** Computed with Python integers from the formula of the class. */
    @Test
    void syntheticTokensNeverChange() {
        BatchShape shape = new BatchShape(1, 1, 1, 4);
        assertThat(rows(new SyntheticBatches(shape, 50_304, 1234), 0, 0, 0).get(0))
                .isEqualTo(new int[] {4962, 8431, 26929, 19067, 23661});
    }

    @Test
    void explicitArraysComeBackRowByRowAndEndWithTheirLastStep() {
        int[][][] rows = {{{1, 2, 3}, {4, 5, 6}}, {{7, 8, 9}, {10, 11, 12}}};
        ArrayBatches batches = new ArrayBatches(rows, new BatchShape(2, 2, 1, 2), 13);
        assertThat(rows(batches, 1, 0, 0).get(0)).isEqualTo(rows[1][0]);
        assertThat(rows(batches, 0, 1, 0).get(0)).isEqualTo(rows[0][1]);
        assertThat(batches.steps()).isEqualTo(2);
        assertThat(batches.description()).anyMatch(line -> line.startsWith("data.sha256="));
        assertThatThrownBy(() -> rows(batches, 2, 0, 0))
                .isInstanceOf(DataException.class)
                .hasMessageContainingAll("step 2", "hold 2");
        assertThatThrownBy(() -> new ArrayBatches(rows, new BatchShape(2, 2, 1, 2), 12))
                .hasMessageContainingAll("step 1", "row 1", "position 2", "12");
        assertThatThrownBy(() -> new ArrayBatches(rows, new BatchShape(3, 1, 1, 2), 13))
                .isInstanceOf(DataException.class);
        assertThatThrownBy(() -> new ArrayBatches(rows, new BatchShape(2, 1, 1, 3), 13))
                .isInstanceOf(DataException.class);
    }

    @Test
    void aBatchThatDoesNotDivideIsRefusedWithItsNumbers() {
        assertThatThrownBy(() -> new BatchShape(8, 3, 1, 16))
                .isInstanceOf(IllegalArgumentException.class)
                .hasMessageContainingAll("8", "3");
        assertThatThrownBy(() -> new BatchShape(8, 2, 3, 16))
                .isInstanceOf(IllegalArgumentException.class);
        assertThat(new BatchShape(1024, 64, 4, 2048).firstIndex(3, 5, 2))
                .isEqualTo(3 * 1024 + 5 * 16 + 2 * 4);
    }
}
