package castalia.deploy.train;

import static org.assertj.core.api.Assertions.assertThat;

import castalia.deploy.Cli;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;

/** Input nobody can train on: one clear line, an exit code, nothing lost. */
@Timeout(value = 120, unit = TimeUnit.SECONDS)
class BadInputTest {

    @TempDir
    @SuppressWarnings("NullAway.Init") // JUnit fills it
    Path folder;

    @SuppressWarnings("NullAway.Init") // set before every test
    private Path tokens;

    private static final String YAML = """
            "num-layers": 1
            "hidden-size": 16
            "num-attention-heads": 2
            "seq-length": 16
            "max-position-embeddings": 16
            "pos-emb": "rotary"
            "no-weight-tying": true
            "optimizer": {"type": "Adam", "params": {"lr": 0.001, "betas": [0.9, 0.95], "eps": 1.0e-8}}
            "lr-decay-style": "cosine"
            "weight-decay": 0.1
            "gradient_clipping": 1.0
            "train_micro_batch_size_per_gpu": 1
            "train-iters": 3
            "data-path": "@TOKENS@"
            "vocab-file": "@TOKENIZER@"
            "castalia": {"global-batch": 2, "virtual-ranks": 2}
            """;

    @BeforeEach
    void prepare() throws IOException {
        tokens = folder.resolve("tokens");
        Path text = folder.resolve("text.txt");
        Files.writeString(text, "In the beginning was the word.\n".repeat(400));
        Cli.Result result = Cli.run("data", "prepare", text, "--tokenizer", tokenizer(),
                "--append-eod", "--out", tokens);
        assertThat(result.code()).as(result.err()).isZero();
    }

    private static Path tokenizer() {
        return Path.of(System.getProperty("castalia.root", ".."),
                "deploy/src/main/resources/castalia/first-light/tokenizer.json").toAbsolutePath();
    }

    private Cli.Result train(String yaml, Object... more) throws IOException {
        Path config = folder.resolve("run.yml");
        Files.writeString(config, yaml.replace("@TOKENS@", tokens.toString())
                .replace("@TOKENIZER@", tokenizer().toString()));
        Object[] args = new Object[5 + more.length];
        Object[] first = {"train", "--config", config, "--run", folder.resolve("run")};
        System.arraycopy(first, 0, args, 0, 5);
        System.arraycopy(more, 0, args, 5, more.length);
        return Cli.run(args);
    }

    private static void refused(Cli.Result result, int code, String... words) {
        assertThat(result.code()).as(result.err()).isEqualTo(code);
        assertThat(result.err()).contains(words);
        assertThat(result.err().lines().filter(line -> !line.contains("warning"))).hasSize(1);
        assertThat(result.err()).doesNotContain("unexpected error");
    }

    @Test
    void theGoodRunTrains() throws IOException {
        Cli.Result result = train(YAML.replace("\"split\"", "\"split\""));
        assertThat(result.code()).as(result.err()).isZero();
    }

    @Test
    void aMissingConfigurationIsNamed() {
        refused(Cli.run("train", "--config", folder.resolve("none.yml"), "--run",
                folder.resolve("run")), 10, "none.yml", "no such file");
    }

    @Test
    void missingAndTruncatedTokenFilesAreNamed() throws IOException {
        Path bin = folder.resolve("tokens.bin");
        byte[] bytes = Files.readAllBytes(bin);
        Files.write(bin, java.util.Arrays.copyOf(bytes, bytes.length - 2));
        refused(train(YAML), 11, "tokens.bin");
        Files.delete(bin);
        refused(train(YAML), 11, "tokens.bin");
        Files.write(bin, bytes);
        Files.write(folder.resolve("tokens.idx"), new byte[] {1, 2, 3});
        refused(train(YAML), 11, "tokens.idx");
    }

    @Test
    void aTokenFileThatChangedIsFoundAtTheStartAndNamed() throws IOException {
        assertThat(train(YAML).code()).isZero();
        Path bin = folder.resolve("tokens.bin");
        byte[] bytes = Files.readAllBytes(bin);
        bytes[bytes.length / 2] ^= 1;
        Files.write(bin, bytes);
        refused(train(YAML), 10, "data.bin.sha256 is ", ", was ", "restore");
        bytes[bytes.length / 2] ^= 1;
        Files.write(bin, bytes);
        assertThat(train(YAML).code()).isZero();
    }

    @Test
    void anImpossibleShapeIsRefusedWithItsKeys() throws IOException {
        refused(train(YAML.replace("\"num-attention-heads\": 2", "\"num-attention-heads\": 3")),
                10, "num-attention-heads", "16");
    }

    @Test
    void anUnknownKeyIsRefusedByName() throws IOException {
        refused(train(YAML + "\"hidden-sise\": 3\n"), 10, "hidden-sise", "hidden-size");
    }

    @Test
    void impossibleRanksAndThreadsAreRefused() throws IOException {
        refused(train(YAML, "--ranks", 3), 10, "3 ranks");
        refused(train(YAML, "--threads", 0), 10, "threads 0");
    }

    @Test
    void moreThreadsThanProcessorsAreRefusedWithWhatFits() throws IOException {
        int processors = Runtime.getRuntime().availableProcessors();
        String most = "at most " + processors;
        System.clearProperty("castalia.threads.any");
        try {
            refused(train(YAML, "--threads", processors + 1), 10, "threads " + (processors + 1), most);
            refused(train(YAML.replace("\"virtual-ranks\": 2}", "\"virtual-ranks\": 2, \"threads\": 1000}")),
                    10, "threads 1000", most);
            refused(Cli.run("bench", "step", "--model", "pythia-14m", "--threads", processors + 1), 10, most);
        } finally {
            System.setProperty("castalia.threads.any", "true");
        }
    }

    @Test
    void aModelThatDoesNotFitInMemoryIsRefusedBeforeItIsTouched() throws IOException {
        String large = YAML.replace("\"hidden-size\": 16", "\"hidden-size\": 16384")
                .replace("\"num-layers\": 1", "\"num-layers\": 20");
        Cli.Result result = train(large);
        refused(result, 15, "memory");
        assertThat(folder.resolve("run/catalogue")).isEmptyDirectory();
    }

    @Test
    void anImpossibleLossScaleIsRefusedByName() throws IOException {
        refused(train(YAML + "\"fp16\": {\"enabled\": true, \"loss_scale\": -1}\n"), 10,
                "loss_scale");
    }

    @Test
    void aRunFolderOfAnotherSpecificationIsRefusedAndKept() throws IOException {
        assertThat(train(YAML).code()).isZero();
        String before = Cli.run("checkpoint", "digest", folder.resolve("run")).out();
        refused(train(YAML.replace("\"train-iters\": 3", "\"train-iters\": 4")), 10, "run");
        assertThat(Cli.run("checkpoint", "digest", folder.resolve("run")).out())
                .isEqualTo(before);
    }

    @Test
    void aCorruptTokenizerIsNamed() throws IOException {
        Path broken = folder.resolve("broken.json");
        Files.writeString(broken, "{\"model\": ");
        Cli.Result result = train(YAML.replace("@TOKENIZER@", broken.toString()));
        assertThat(result.code()).isIn(10, 11);
        assertThat(result.err()).contains("broken.json").doesNotContain("unexpected error");
    }

    @Test
    void aFolderThatIsNoRunIsRefused() {
        refused(Cli.run("checkpoint", "list", folder), 10, folder.toString());
        refused(Cli.run("generate", folder.resolve("none"), "--prompt", "x"), 10, "none");
    }

    @Test
    void wrongOptionsGiveUsage() {
        assertThat(Cli.run("train").code()).isEqualTo(2);
        assertThat(Cli.run("bench", "step", "--model", "gpt-5").err()).contains("pythia-14m");
    }
}
