package castalia.deploy.command;

import static org.assertj.core.api.Assertions.assertThat;

import castalia.deploy.Cli;
import castalia.workers.data.SampleOrder;
import castalia.workers.data.SampleReader;
import castalia.workers.data.TokenFile;
import castalia.workers.data.Tokenizer;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** {@code data view}, {@code find} and {@code stats} on a run of real text. */
class DataViewTest {
    private static final ObjectMapper MAPPER = new ObjectMapper();
    private static final int BATCH = 8;
    private static final int STEPS = 6;

    @TempDir
    @SuppressWarnings("NullAway.Init") // JUnit fills it
    Path folder;

    @SuppressWarnings("NullAway.Init") // set before every test
    private Path config;

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
            "train_micro_batch_size_per_gpu": 2
            "train-iters": 6
            "seed": 5
            "train-data-paths": ["@/tokens"]
            "vocab-file": "@TOKENIZER"
            "castalia": {"global-batch": 8, "virtual-ranks": 2}
            """;

    @BeforeEach
    void prepare() throws IOException {
        StringBuilder text = new StringBuilder();
        for (int i = 0; i < 120; i++) {
            text.append("In the year ").append(1000 + i).append(" the river rose \u2014 und \u00fc")
                    .append(i % 7 == 3 ? "berflutete Melchizedek" : "ber Nacht fiel er").append(".\n%%\n");
        }
        Path file = Files.writeString(folder.resolve("text.txt"), text);
        Cli.Result result = Cli.run("data", "prepare", file, "--separator", "%%", "--tokenizer",
                tokenizer(), "--append-eod", "--out", folder.resolve("tokens"));
        assertThat(result.code()).as(result.err()).isZero();
        config = folder.resolve("run.yml");
        Files.writeString(config, YAML.replace("@TOKENIZER", tokenizer().toString())
                .replace("@", folder.toString()));
    }

    private static Path tokenizer() {
        return Path.of(System.getProperty("castalia.root", ".."),
                "deploy/src/main/resources/castalia/first-light/tokenizer.json").toAbsolutePath();
    }

    private int[][] expected() {
        try (TokenFile file = TokenFile.open(folder.resolve("tokens"))) {
            SampleReader reader = new SampleReader(file, SampleOrder.build(file,
                    SampleOrder.Request.all(file, 16, 49, 5)));
            int[][] rows = new int[BATCH * STEPS][];
            for (int i = 0; i < rows.length; i++) {
                rows[i] = reader.item(i);
            }
            return rows;
        }
    }

    private static Cli.Result good(Object... args) {
        Cli.Result result = Cli.run(args);
        assertThat(result.code()).as(result.err()).isZero();
        return result;
    }

    private static void refused(int code, String words, Object... args) {
        Cli.Result result = Cli.run(args);
        assertThat(result.code()).as(result.err()).isEqualTo(code);
        assertThat(result.err()).contains(words).doesNotContain("unexpected error");
    }

    @Test
    void npyHoldsTheRowsOfTheStepInOrder() throws IOException {
        Path file = folder.resolve("step.npy");
        good("data", "view", config, "--step", 4, "--out", file);
        ByteBuffer npy = ByteBuffer.wrap(Files.readAllBytes(file)).order(ByteOrder.LITTLE_ENDIAN);
        assertThat(new String(npy.array(), 1, 5, StandardCharsets.US_ASCII)).isEqualTo("NUMPY");
        int header = 10 + npy.getShort(8);
        assertThat(header % 64).isZero();
        assertThat(new String(npy.array(), 10, header - 10, StandardCharsets.US_ASCII))
                .startsWith("{'descr': '<i4', 'fortran_order': False, 'shape': (8, 17), }")
                .endsWith("\n");
        npy.position(header);
        int[] tokens = new int[8 * 17];
        npy.asIntBuffer().get(tokens);
        int[] rows = Arrays.stream(expected(), 32, 40).flatMapToInt(Arrays::stream).toArray();
        assertThat(tokens).isEqualTo(rows);
        assertThat(npy.remaining()).isEqualTo(4 * rows.length);
    }

    @Test
    void linesSayTokensTextSourceAndReaders() throws IOException {
        Path file = folder.resolve("rows.jsonl");
        good("data", "view", config, "--step", 1, "--rows", "2:7", "--decode", "--source",
                "--neox-ranks", 2, "--out", file);
        List<String> lines = Files.readAllLines(file);
        assertThat(lines).hasSize(5);
        try (Tokenizer tokenizer = Tokenizer.load(tokenizer());
                TokenFile tokens = TokenFile.open(folder.resolve("tokens"))) {
            for (int i = 0; i < 5; i++) {
                JsonNode line = MAPPER.readTree(lines.get(i));
                int row = 2 + i;
                int[] row17 = expected()[8 + row];
                assertThat(line.get("index").asInt()).isEqualTo(8 + row);
                assertThat(line.get("virtual_rank").asInt()).isEqualTo(row / 4);
                assertThat(line.get("micro_batch").asInt()).isEqualTo(row % 4 / 2);
                assertThat(line.get("neox_rank").asInt()).isEqualTo(row % 4 / 2);
                assertThat(line.get("neox_micro_batch").asInt()).isEqualTo(row / 4);
                assertThat(line.get("text").asText()).isEqualTo(tokenizer.decode(row17));
                List<Integer> from = new ArrayList<>();
                for (JsonNode piece : line.get("source")) {
                    assertThat(piece.get("file").asText()).endsWith("tokens");
                    for (int k = 0; k < piece.get("count").asInt(); k++) {
                        from.add(tokens.token(piece.get("sequence").asLong(),
                                piece.get("offset").asInt() + k));
                    }
                }
                assertThat(from).isEqualTo(Arrays.stream(row17).boxed().toList());
                for (int k = 0; k < 17; k++) {
                    assertThat(line.get("tokens").get(k).asInt()).isEqualTo(row17[k]);
                }
            }
        }
        Cli.Result shown = good("data", "view", config, "--step", 1, "--rows", "2:3", "--source",
                "--json");
        assertThat(shown.out()).contains("step 1  row 2  index 10", "from " + folder + "/tokens");
        JsonNode json = MAPPER.readTree(shown.out().lines().toList().getLast());
        assertThat(json.get("first_index").asInt()).isEqualTo(10);
        assertThat(json.get("rows").get(0).get("tokens")).hasSize(17);
    }

    @Test
    void findSaysEveryStepAndRowThatReadsAText() throws IOException {
        List<String> where = new ArrayList<>();
        try (Tokenizer tokenizer = Tokenizer.load(tokenizer())) {
            int[][] rows = expected();
            for (int i = 0; i < rows.length; i++) {
                String text = tokenizer.decode(rows[i]);
                for (int at = text.indexOf("chizedek"); at >= 0; at = text.indexOf("chizedek", at + 1)) {
                    where.add("step " + i / BATCH + "  row " + i % BATCH + "  index " + i);
                }
            }
        }
        assertThat(where).isNotEmpty();
        Cli.Result found = good("data", "find", config, "chizedek", "--json", "--threads", 3);
        assertThat(found.out().lines().filter(line -> line.startsWith("step "))
                .map(line -> line.substring(0, line.indexOf("  token"))).toList()).isEqualTo(where);
        JsonNode json = MAPPER.readTree(found.out().lines().toList().getLast());
        assertThat(json.get("finds")).hasSize(where.size());
        assertThat(json.get("complete").asBoolean()).isTrue();
        Cli.Result few = good("data", "find", config, "chizedek", "--limit", 1);
        assertThat(few.out()).contains("stopped after 1 finds");
        assertThat(Cli.run("data", "find", config, "no such text").code()).isEqualTo(1);
    }

    @Test
    void findSaysWhereTokensAre() {
        int[][] rows = expected();
        int[] wanted = Arrays.copyOfRange(rows[21], 3, 9);
        String ids = String.join(",", Arrays.stream(wanted).mapToObj(Integer::toString).toList());
        Cli.Result found = good("data", "find", config, "--tokens", ids, "--steps", "2:3");
        assertThat(found.out()).contains("step 2  row 5  index 21  token 3");
        refused(10, "either TEXT or --tokens", "data", "find", config);
        refused(11, "castalia: token -4 is none", "data", "find", config, "--tokens", "1,-4");
        refused(10, "--steps 4:9", "data", "find", config, "x", "--steps", "4:9");
    }

    @Test
    void aRunsFolderIsEnoughOnceItTrained() throws IOException {
        Path run = folder.resolve("run");
        good("train", "--config", config, "--run", run, "--threads", 1);
        assertThat(good("data", "view", run, "--step", 3, "--rows", "0:2").out())
                .isEqualTo(good("data", "view", config, "--step", 3, "--rows", "0:2").out());
        assertThat(good("data", "find", run, "Melchizedek").out()).contains("finds");
        Files.delete(run.resolve("configuration.yml"));
        refused(10, "configuration.yml", "data", "view", run, "--step", 3);
    }

    @Test
    void impossibleViewsAreRefused() {
        refused(10, "steps 0 to 5", "data", "view", config, "--step", 6);
        refused(10, "--step -1", "data", "view", config, "--step", -1);
        refused(10, "--rows 3:9", "data", "view", config, "--step", 0, "--rows", "3:9");
        refused(10, "names no valid data", "data", "view", config, "--step", 0, "--part", "valid");
        refused(10, "none of train", "data", "view", config, "--step", 0, "--part", "all");
        refused(10, "must end in", "data", "view", config, "--step", 0, "--out",
                folder.resolve("x.txt"));
        refused(10, "--neox-ranks 3", "data", "view", config, "--step", 0, "--neox-ranks", 3);
        refused(10, "no such file", "data", "view", folder.resolve("none.yml"), "--step", 0);
    }

    @Test
    void statsCountWhatIsThere() throws IOException {
        Cli.Result stats = good("data", "stats", folder.resolve("tokens"), "--tokenizer",
                tokenizer(), "--json");
        assertThat(stats.out()).contains("120 documents", "<|endoftext|>\" x 120");
        JsonNode json = MAPPER.readTree(stats.out().lines().toList().getLast());
        assertThat(json.get("sequences").asInt()).isEqualTo(120);
        assertThat(json.get("lastTokens").get(0).get("count").asInt()).isEqualTo(120);
        assertThat(good("data", "stats", folder.resolve("tokens"), "--quick").out())
                .doesNotContain("most frequent");
        refused(11, "none.idx", "data", "stats", folder.resolve("none"));
    }
}
