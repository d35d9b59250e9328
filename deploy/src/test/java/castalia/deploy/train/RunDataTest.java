package castalia.deploy.train;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import castalia.deploy.Cli;
import castalia.deploy.configuration.NeoxYaml;
import castalia.deploy.configuration.TokenizerSize;
import castalia.deploy.configuration.TrainingConfiguration;
import castalia.protocol.specification.DataManifest;
import castalia.protocol.specification.Problems;
import castalia.workers.data.BatchSource;
import castalia.workers.data.BlendedSamples;
import castalia.workers.data.DataException;
import castalia.workers.data.SampleOrder;
import castalia.workers.data.SampleReader;
import castalia.workers.data.Samples;
import castalia.workers.data.TokenBatches;
import castalia.workers.data.TokenFile;
import castalia.workers.data.TokenFileWriter;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.EnumSet;
import java.util.List;
import java.util.Random;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** What a configuration reads: data sets by path, blended, split, and pre-shuffled. */
class RunDataTest {
    private static final int SEQUENCE = 16;
    private static final int STEPS = 5;
    private static final int BATCH = 4;

    @TempDir
    @SuppressWarnings("NullAway.Init") // JUnit fills it
    Path folder;

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
            "train-iters": 5
            "eval-interval": 100
            "eval-iters": 2
            "seed": 77
            %s
            "castalia": {"global-batch": 4, "virtual-ranks": 2, "vocabulary": 128%s}
            """;

    private String yaml(String data, String castalia) {
        return YAML.formatted(data.replace("@", folder + "/"), castalia);
    }

    private RunData open(String data, String castalia) {
        TrainingConfiguration configuration = NeoxYaml.parse(
                "test.yml", yaml(data, castalia), TokenizerSize.unknown(), new Problems());
        return RunData.open(configuration, Path.of(""), Cli.home(),
                EnumSet.allOf(RunData.Part.class));
    }

    private Path tokens(String name, int documents, int length) {
        Random random = new Random(name.hashCode());
        Path prefix = folder.resolve(name);
        try (TokenFileWriter writer = TokenFileWriter.create(prefix, 128)) {
            for (int d = 0; d < documents; d++) {
                int size = length > 0 ? length : 1 + random.nextInt(40);
                writer.addDocument(random.ints(size, 0, 128).toArray(), size);
            }
            writer.finish();
        }
        return prefix;
    }

    private static Samples samples(BatchSource source) {
        return ((TokenBatches) source).samples();
    }

    private static String value(RunData data, String name) {
        return data.manifest().value(name).orElseThrow();
    }

    private static void sameOrder(BatchSource source, TokenFile file, SampleOrder.Request request) {
        SampleReader expected = new SampleReader(file, SampleOrder.build(file, request));
        Samples samples = samples(source);
        assertThat(samples.length()).isEqualTo(expected.length());
        for (long i = 0; i < expected.length(); i++) {
            assertThat(samples.item(i)).isEqualTo(expected.item(i));
        }
    }

    @Test
    void onePathIsRecordedAsItAlwaysWas() {
        Path prefix = tokens("one", 50, 0);
        try (RunData data = open("\"train-data-paths\": [\"@one\"]", "");
                TokenFile file = TokenFile.open(prefix)) {
            assertThat(data.manifest().entries()).map(DataManifest.Entry::toString).containsExactly(
                    "data.kind=tokens",
                    "data.name=one",
                    "data.tokens=" + file.tokens(),
                    "data.sequences=50",
                    "data.dtype=UINT16",
                    "data.idx.sha256=" + file.digest().idxSha256(),
                    "data.bin.sha256=" + file.digest().binSha256(),
                    "order=gpt-neox-v1.0",
                    "order.documents=0:50",
                    "order.sequence=16",
                    "order.samples=21",
                    "order.seed=77");
            sameOrder(data.train(), file, SampleOrder.Request.all(file, SEQUENCE, 21, 77));
            assertThat(data.valid()).isEmpty();
        }
    }

    @Test
    void aSplitGivesEachPartItsDocumentsAndTheSequencesItNeeds() {
        Path prefix = tokens("split", 60, 0);
        try (RunData data = open("\"data-path\": \"@split\"\n\"split\": \"8,1,1\"", "");
                TokenFile file = TokenFile.open(prefix)) {
            assertThat(value(data, "order.documents")).isEqualTo("0:48");
            assertThat(value(data, "order.samples")).isEqualTo("21");
            sameOrder(data.train(), file, new SampleOrder.Request(0, 48, SEQUENCE, 20, 77));
            sameOrder(data.valid().orElseThrow(), file,
                    new SampleOrder.Request(48, 54, SEQUENCE, 8, 77));
            sameOrder(data.source(RunData.Part.TEST).orElseThrow(), file,
                    new SampleOrder.Request(54, 60, SEQUENCE, 8, 77));
        }
    }

    /** 321 tokens are exactly the 20 samples of the run: one more would take a second epoch. */
    @Test
    void aSplitAsksForNoEpochMoreThanGptNeoxDoes() {
        Path prefix = tokens("tight", 3, 107);
        try (RunData data = open("\"data-path\": \"@tight\"\n\"split\": \"1,0,0\"", "");
                TokenFile file = TokenFile.open(prefix)) {
            assertThat(value(data, "order.samples")).isEqualTo("20");
            sameOrder(data.train(), file, new SampleOrder.Request(0, 3, SEQUENCE, 20, 77));
            assertThat(SampleOrder.build(file, new SampleOrder.Request(0, 3, SEQUENCE, 21, 77))
                    .epochs()).isEqualTo(2);
        }
        try (RunData data = open("\"train-data-paths\": [\"@tight\"]", "")) {
            assertThat(value(data, "order.samples")).isEqualTo("21");
        }
    }

    @Test
    void severalPathsAreBlendedByTheirWeightsForEveryPart() {
        tokens("a", 40, 0);
        tokens("b", 30, 0);
        tokens("c", 20, 0);
        String paths = "\"train-data-paths\": [\"@a\", \"@b\"]\n"
                + "\"train-data-weights\": [3, 1]\n"
                + "\"valid-data-paths\": [\"@b\", \"@c\"]\n\"test-data-paths\": [\"@c\"]";
        try (RunData data = open(paths, "")) {
            assertThat(samples(data.train())).isInstanceOf(BlendedSamples.class);
            assertThat(samples(data.valid().orElseThrow())).isInstanceOf(BlendedSamples.class);
            assertThat(samples(data.source(RunData.Part.TEST).orElseThrow()))
                    .isInstanceOf(SampleReader.class);
            int fromA = 0;
            for (long i = 0; i < STEPS * BATCH; i++) {
                fromA += samples(data.train()).pieces(i).getFirst().file().endsWith("/a") ? 1 : 0;
            }
            assertThat(fromA).isEqualTo(15);
            assertThat(value(data, "data.0.weight")).isEqualTo("3.0");
            assertThat(value(data, "data.1.samples")).isEqualTo("6"); // ceil(20 / 4 * 1.005)
        }
        String train = "\"train-data-paths\": [\"@a\", \"@b\"]\n";
        try (RunData one = open(train + "\"train-data-weights\": [3, 1]", "");
                RunData other = open(train + "\"train-data-weights\": [1, 1]", "");
                RunData neither = open(train, "")) {
            assertThat(one.manifest()).isNotEqualTo(other.manifest());
            assertThat(neither.manifest()).isEqualTo(other.manifest());
        }
    }

    @Test
    void aPreshuffledFileIsReadRowByRow() {
        Path prefix = tokens("rows", 20, SEQUENCE + 1);
        String paths = "\"train-data-paths\": [\"@rows\"]";
        try (RunData data = open(paths, ", \"data-order\": \"preshuffled\"");
                TokenFile file = TokenFile.open(prefix)) {
            assertThat(samples(data.train()).item(19)[3]).isEqualTo(file.token(19, 3));
            assertThat(value(data, "order")).isEqualTo("preshuffled");
        }
        tokens("short", 19, SEQUENCE + 1);
        assertThatThrownBy(() -> open(paths.replace("rows", "short"),
                        ", \"data-order\": \"preshuffled\""))
                .isInstanceOf(DataException.class)
                .hasMessageContainingAll("short", "holds 19 samples", "needs 20");
        tokens("text", 40, 0);
        assertThatThrownBy(() -> open(paths.replace("rows", "text"),
                        ", \"data-order\": \"preshuffled\""))
                .isInstanceOf(DataException.class)
                .hasMessageContaining("text.idx: sequence 0 has");
    }

    @Test
    void theOrderOfAPreshuffledFileNeedsOnePath() {
        assertThatThrownBy(() -> open("\"data-path\": \"@a\"",
                        ", \"data-order\": \"preshuffled\""))
                .hasMessageContaining("exactly one path in train-data-paths");
        assertThatThrownBy(() -> open("\"train-data-paths\": [\"@a\"]",
                        ", \"data-order\": \"sorted\""))
                .hasMessageContaining("must be neox or preshuffled");
    }

    @Test
    void aBlendTrainsToOneDigestOnAnyRanksFromPartsAsFromWholeFiles() throws IOException {
        tokens("a", 40, 0);
        Path b = tokens("b", 30, 0);
        Path config = folder.resolve("run.yml");
        Files.writeString(config, yaml("\"train-data-paths\": [\"@a\", \"@b\"]\n"
                + "\"train-data-weights\": [0.7, 0.3]", ""));
        String one = digest(config, "one", 1);
        assertThat(Cli.run("data", "shard", b, "--size", 333).code()).isZero();
        Files.delete(TokenFile.binPath(b));
        assertThat(digest(config, "two", 2)).isEqualTo(one);
        assertThat(folder.resolve("two/configuration.yml")).hasSameTextualContentAs(config);
    }

    private String digest(Path config, String run, int ranks) {
        Cli.Result result = Cli.run("train", "--config", config, "--run", folder.resolve(run),
                "--ranks", ranks, "--threads", 2);
        assertThat(result.code()).as(result.err()).isZero();
        return List.of(result.word("digest"), result.word("state")).toString();
    }
}
