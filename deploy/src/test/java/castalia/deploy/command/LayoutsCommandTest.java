package castalia.deploy.command;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.withinPercentage;

import castalia.deploy.Cli;
import castalia.protocol.ErrorCode;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

class LayoutsCommandTest {

    /** Parameters as published, and of them the vectors that no slice cuts. */
    private static final double PARAMETERS = 11_846_072_320L;
    private static final double UNCUT = 36 * 6 * 5120 + 2 * 5120;

    private static JsonNode json(Cli.Result result) throws Exception {
        List<String> lines = result.out().lines().toList();
        return new ObjectMapper().readTree(lines.getLast());
    }

    /** As published: 64 replicas of four ranks, ZeRO 1, micro-batches of 8, fp16. */
    @Test
    void thePublishedLayoutCostsWhatItDoesByHand() throws Exception {
        Cli.Result result = Cli.run("layouts", "--model", "pythia-12b", "--devices", 256,
                "--device-memory", "40GiB", "--dp", 64, "--tp", 4, "--zero", 1, "--buddies", 0,
                "--json");
        assertThat(result.code()).as(result.err()).isZero();
        assertThat(result.out()).contains("V = 64 (chosen), T = 4", "64x4 ZeRO 1 b0",
                "256 devices of 40.0 GiB, 8 a node");
        JsonNode all = json(result).get("fitting");
        assertThat(all).hasSize(1);
        JsonNode memory = all.get(0).get("memory");
        double used = (PARAMETERS - UNCUT) / 4 + UNCUT;
        double owned = PARAMETERS / 256;
        assertThat(memory.get("weights").asDouble()).isCloseTo(2 * used, withinPercentage(1));
        assertThat(memory.get("owned").asDouble()).isCloseTo(12 * owned, withinPercentage(4));
        assertThat(memory.get("gradients").asDouble())
                .isCloseTo(4 * used + 8 * (4 << 20), withinPercentage(1)); // eight chunks to sum in
        JsonNode sent = all.get(0).get("sent");
        assertThat(sent.get("partials").asDouble())
                .isCloseTo(4 * (used - owned), withinPercentage(1));
        assertThat(sent.get("weights").asDouble())
                .isCloseTo(2 * 63 * owned, withinPercentage(4));
        double rows = 8 * 2048;
        double sum = 3 * rows / 4 * 5120 * (4 + 2);
        double passes = 2 * (36 * 3 * sum + sum + 2 * 3 * rows / 4 * 5120 * 2);
        assertThat(sent.get("slices").asDouble()).isCloseTo(passes, withinPercentage(1));
        String table = result.out();
        assertThat(table).contains(String.format("%.2f", 2 * used / (1 << 30)));
    }

    @Test
    void layoutsThatFitComeFirstAndThoseThatNearlyDoAreNamed() throws Exception {
        Cli.Result result = Cli.run("layouts", "--model", "pythia-6.9b", "--devices", 16,
                "--device-memory", "80GiB", "--rows", 3, "--json");
        assertThat(result.code()).as(result.err()).isZero();
        assertThat(result.out()).contains("more that fit (--rows)")
                .containsPattern("does not fit: .* needs [0-9.]+ GiB, [0-9.]+ [MG]iB too much");
        JsonNode report = json(result);
        double last = 0;
        for (JsonNode estimate : report.get("fitting")) {
            JsonNode time = estimate.get("time");
            double seconds = time.get("compute").asDouble() + time.get("exposed").asDouble();
            assertThat(seconds).isGreaterThanOrEqualTo(last);
            last = seconds;
            assertThat(estimate.get("excessBytes").asLong()).isNotPositive();
        }
        assertThat(report.get("too_large")).isNotEmpty();
    }

    @Test
    void nothingThatFitsIsAnErrorWithTheSmallest() {
        Cli.Result result = Cli.run("layouts", "--model", "pythia-12b", "--devices", 2,
                "--device-memory", "16GB");
        assertThat(result.code()).isEqualTo(ErrorCode.OUT_OF_MEMORY.exitCode());
        assertThat(result.err()).contains("none of these layouts fits", "the smallest, ");
        assertThat(result.out()).contains("does not fit: ");
    }

    @Test
    void aConfigurationSaysEverythingButTheDevices(@TempDir Path folder) throws Exception {
        Path config = Files.writeString(folder.resolve("run.yml"), """
                {"num-layers": 2, "hidden-size": 32, "num-attention-heads": 4, "seq-length": 16,
                "max-position-embeddings": 16, "pos-emb": "rotary", "no-weight-tying": true,
                "optimizer": {"type": "Adam", "params": {"lr": 0.001, "betas": [0.9, 0.95],
                "eps": 1.0e-8}}, "train_micro_batch_size_per_gpu": 1, "train-iters": 3, "warmup": 0,
                "castalia": {"global-batch": 4, "virtual-ranks": 4, "tensor-slices": 2,
                "precision": "fp32", "schedule": "constant", "vocabulary": 128, "synthetic-data": true}}
                """);
        Cli.Result result = Cli.run("layouts", "--config", config, "--devices", 2);
        assertThat(result.code()).as(result.err()).isZero();
        assertThat(result.out()).contains("fp32, V = 4, T = 2", "2 ranks that share",
                "(products measured)", "1x2 ZeRO 1 b1", "blocks kept");
        Cli.Result tight = Cli.run(
                "layouts", "--config", config, "--devices", 2, "--device-memory", "100KiB");
        assertThat(tight.out()).contains("blocks computed again");
    }

    @ParameterizedTest
    @CsvSource(delimiter = '|', value = {
        "--model pythia-13b|no model is called pythia-13b",
        "--devices 4|give either --model or --config",
        "--model pythia-70m --devices 0|--devices 0 must lie between 1 and",
        "--model pythia-70m --device-memory big|--device-memory 'big' is no number",
        "--model pythia-70m --device-memory 1GiB/s|--device-memory '1GiB/s' is no number",
        "--model pythia-70m --device-memory 1G --tp 3|no layout is like that on",
        "--model pythia-70m --device-memory 1G --tensor-slices 3|must be a power of two",
        "--model pythia-70m --device-memory 1G --batch 3|must divide",
        "--model pythia-70m --device-memory 1G --dtype fp8|--dtype fp8 is none of",
        "--config /nowhere/run.yml|there is no such file"
    })
    void whatCannotBeIsRefused(String arguments, String message) {
        Cli.Result result = Cli.run((Object[]) ("layouts " + arguments).split(" ", -1));
        assertThat(result.code()).isEqualTo(ErrorCode.CONFIG_INVALID.exitCode());
        assertThat(result.err()).contains(message);
    }
}
