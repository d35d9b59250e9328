package castalia.deploy.cluster;

import static org.assertj.core.api.Assertions.assertThat;

import castalia.actors.message.NodeSnapshot;
import castalia.actors.message.NodeSnapshot.TrafficView;
import castalia.deploy.TinyYaml;
import castalia.protocol.run.RunNews;
import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** Undisturbed runs on worker processes end as the run in one process does. */
@Timeout(value = 180, unit = TimeUnit.SECONDS)
class SameBitsTest {

    private static final int STEPS = 30;
    private static final long LARGEST_MESSAGE = 64 * 1024;

    @TempDir
    @SuppressWarnings("NullAway.Init") // JUnit fills it
    Path folder;

    @Tag("default")
    @ParameterizedTest
    @CsvSource({"fp32, 1, false", "bf16, 3, false", "fp32, 4, true"})
    void aRunOnWorkerProcessesEndsWithTheSameStateAndComputesNothingTwice(
            String precision, int workers, boolean wordsChange) throws IOException {
        compare(precision, workers, wordsChange);
    }

    @Tag("full")
    @ParameterizedTest
    @CsvSource({"fp32, 2, true", "bf16, 1, false", "bf16, 2, false", "bf16, 4, false",
            "fp16, 2, false", "fp16, 3, false"})
    void soItDoesInTheOtherPrecisions(String precision, int workers, boolean wordsChange)
            throws IOException {
        compare(precision, workers, wordsChange);
    }

    private void compare(String precision, int workers, boolean wordsChange) throws IOException {
        TinyRun tiny = wordsChange
                ? TinyRun.changed(folder, precision, STEPS, 10)
                : TinyRun.write(folder, precision, 24, STEPS, 10);
        Witness witness = new Witness();
        TinyRun.Answer answer = tiny.onWorkers(folder.resolve("cluster"), workers, 0, witness);
        assertThat(answer).isEqualTo(tiny.alone(folder.resolve("alone")));
        if (witness.dismissedAnyBut(Optional.empty())) {
            return; // nobody knows what it computed, and it may have held what nobody else did
        }
        long gatherings = witness.count(news -> news instanceof RunNews.Gathering);
        if (gatherings == 1) {
            assertThat(witness.sequences()).isEqualTo((long) STEPS * TinyYaml.BATCH);
            assertThat(witness.sequencesByStep()).hasSize(STEPS).allSatisfy(
                    (step, sequences) -> assertThat(sequences).isEqualTo(TinyYaml.BATCH));
        } else { // a worker that stood still was suspected: each time at most a step is repeated
            assertThat(witness.sequences()).as("%s", witness).isBetween(
                    (long) STEPS * TinyYaml.BATCH, (STEPS + gatherings - 1) * TinyYaml.BATCH);
        }
        assertThat(witness.diskBytes()).isZero();
    }

    /** On two workers, of a model large enough for its tensors to show. */
    @Tag("default")
    @Test
    void tensorsNeverPassBetweenActors() throws IOException {
        TinyRun tiny = TinyRun.write(folder, "fp32", 128, STEPS, 10);
        List<TrafficView> seen = new ArrayList<>();
        List<TrafficView> own = new ArrayList<>();
        Witness witness = new Witness((w, progress) -> {
            if (progress.step() % 10 == 5) {
                List<NodeSnapshot> nodes = w.cluster().picture().nodes();
                nodes.forEach(node -> seen.addAll(node.traffic()));
            }
            own.clear();
            own.addAll(w.cluster().traffic());
        });
        TinyRun.Answer answer = tiny.onWorkers(folder.resolve("cluster"), 2, 0, witness);
        assertThat(answer).isEqualTo(tiny.alone(folder.resolve("alone")));
        long planes = witness.dataPlaneBytes();
        assertThat(planes).as("weights are megabytes").isGreaterThan(STEPS * 2_000_000L);
        assertThat(own.stream().mapToLong(t -> t.sentBytes() + t.receivedBytes()).sum())
                .as("%s", own).isPositive().isLessThan(planes / 100);
        // of the workers too, as long as they answered
        seen.addAll(own);
        assertThat(seen).allSatisfy(
                view -> assertThat(view.largest()).isLessThan(LARGEST_MESSAGE));
    }
}
