package castalia.deploy.parity;

import static org.assertj.core.api.Assertions.assertThat;

import castalia.deploy.Cli;
import java.io.IOException;
import java.io.RandomAccessFile;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.TimeUnit;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** Fixtures that PyTorch computed, see {@code resources/parity/generate_neox.py}. */
@Timeout(value = 120, unit = TimeUnit.SECONDS)
class ParityTest {

    @TempDir
    @SuppressWarnings("NullAway.Init") // JUnit fills it
    Path folder;

    private static Path fixture(String name) {
        return Path.of(System.getProperty("castalia.root", ".."),
                "deploy/src/test/resources/parity", name);
    }

    private static Cli.Result parity(Path fixture, String... more) {
        List<Object> args = new ArrayList<>(List.of("parity", fixture));
        args.addAll(List.of(more));
        return Cli.run(args.toArray());
    }

    @ParameterizedTest
    @CsvSource({
        "neox-tiny, 1, 1, 1, ''",
        "neox-tiny, 2, 2, 2, --recompute",
        "neox-tiny, 4, 1, 1, --reference",
        "neox-sequential, 1, 1, 1, ''",
        "neox-sequential, 1, 2, 2, --recompute",
        "hf-tiny, 1, 1, 1, ''",
        "hf-tiny, 2, 2, 1, --recompute"
    })
    void everyQuantityLiesWithinItsBound(
            String name, String slices, String virtualRanks, String ranks, String flag) {
        List<String> more = new ArrayList<>(List.of("--tensor-slices", slices,
                "--virtual-ranks", virtualRanks, "--ranks", ranks, "--threads", "2"));
        if (!flag.isEmpty()) {
            more.add(flag);
        }
        Cli.Result result = parity(fixture(name), more.toArray(String[]::new));
        assertThat(result.code()).as(result.out() + result.err()).isZero();
        assertThat(result.out()).contains("logits", "grad.gpt_neox.layers.1", "loss of step 0",
                ", 0 beyond their bound");
    }

    /** Two ranks a replica, every ZeRO stage. */
    @ParameterizedTest
    @CsvSource({
        "neox-tiny, 1, 1, 0", "neox-tiny, 1, 1, 1", "neox-tiny, 1, 1, 2", "hf-tiny, 1, 1, 0",
        "hf-tiny, 1, 1, 1", "hf-tiny, 1, 1, 2", "hf-tiny, 2, 2, 2", "neox-tiny, 2, 2, 1",
        "neox-tiny, 1, 1, 3", "hf-tiny, 2, 2, 3"
    })
    void soItDoesWithTensorSlicesOnSeveralRanks(
            String name, String virtualRanks, String replicas, String zero) {
        Cli.Result result = parity(fixture(name), "--tp", "2", "--zero", zero,
                "--virtual-ranks", virtualRanks, "--dp", replicas);
        assertThat(result.code()).as(result.out() + result.err()).isZero();
        assertThat(result.out()).contains("logits", "grad.gpt_neox.layers.1", "loss of step 0",
                ", 0 beyond their bound");
    }

    private Path copy(String name) throws IOException {
        Path target = folder.resolve(name);
        Files.createDirectories(target);
        try (Stream<Path> files = Files.list(fixture(name))) {
            for (Path file : files.toList()) {
                Files.copy(file, target.resolve(file.getFileName()));
            }
        }
        return target;
    }

    @Test
    void aChangedWeightIsFound() throws IOException {
        Path changed = copy("neox-tiny");
        try (RandomAccessFile file =
                new RandomAccessFile(changed.resolve("model.safetensors").toFile(), "rw")) {
            long at = file.length() - 2; // the upper half of the last fp32 element
            file.seek(at);
            int value = file.readUnsignedByte();
            file.seek(at);
            file.write(value ^ 0x40);
        }
        Cli.Result result = parity(changed);
        assertThat(result.code()).isEqualTo(1);
        assertThat(result.out()).contains("BEYOND").doesNotContain(" 0 beyond");
    }

    @Test
    void missingFilesAndImpossibleSlicesAreOneLine() throws IOException {
        Path incomplete = copy("neox-tiny");
        Files.delete(incomplete.resolve("reference.safetensors"));
        Cli.Result missing = parity(incomplete);
        assertThat(missing.code()).isEqualTo(11);
        assertThat(missing.err()).contains("reference.safetensors").hasLineCount(1);
        Cli.Result none = parity(folder.resolve("nothing"));
        assertThat(none.code()).isEqualTo(10);
        assertThat(none.err()).contains("no fixture folder").hasLineCount(1);
        Cli.Result slices = parity(fixture("neox-sequential"), "--tensor-slices", "2");
        assertThat(slices.code()).isEqualTo(10);
        assertThat(slices.err()).contains("num-attention-heads 3").hasLineCount(1);
        Cli.Result degree = parity(fixture("neox-tiny"), "--tp", "3");
        assertThat(degree.code()).isEqualTo(10);
        assertThat(degree.err()).contains("3 must be a power of two").hasLineCount(1);
        Cli.Result many = parity(fixture("neox-tiny"), "--dp", "2");
        assertThat(many.code()).isEqualTo(10);
        assertThat(many.err()).contains("use 1 to 1").hasLineCount(1);
        Cli.Result stage = parity(fixture("neox-tiny"), "--zero", "4");
        assertThat(stage.code()).isEqualTo(10);
        assertThat(stage.err()).contains("ZeRO stage 4 is none of").hasLineCount(1);
    }
}
