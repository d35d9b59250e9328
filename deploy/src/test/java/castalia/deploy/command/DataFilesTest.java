package castalia.deploy.command;

import static org.assertj.core.api.Assertions.assertThat;

import castalia.deploy.Cli;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.MessageDigest;
import java.util.ArrayList;
import java.util.HexFormat;
import java.util.List;
import java.util.stream.Stream;
import java.util.stream.StreamSupport;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/** {@code data index}, {@code shard}, {@code unshard}, {@code checksum} and {@code bench index}. */
class DataFilesTest {
    private static final ObjectMapper MAPPER = new ObjectMapper();

    @TempDir
    @SuppressWarnings("NullAway.Init") // JUnit fills it
    Path folder;

    private static Path fixtures() {
        return Path.of(System.getProperty("castalia.root", ".."),
                "workers/src/test/resources/data-order").toAbsolutePath();
    }

    static Stream<JsonNode> cases() throws IOException {
        JsonNode root = MAPPER.readTree(
                Files.readString(fixtures().resolve("fixture-v1.0.json")));
        return StreamSupport.stream(root.get("cases").spliterator(), false);
    }

    private Path copied(String name) throws IOException {
        for (String extension : List.of(".bin", ".idx")) {
            Files.copy(fixtures().resolve(name + extension), folder.resolve(name + extension));
        }
        return folder.resolve(name);
    }

    @ParameterizedTest(name = "{index}")
    @MethodSource("cases")
    void indexWritesTheArraysAndHashesOfGptNeox(JsonNode expected) throws IOException {
        String name = expected.get("name").asText();
        Path json = folder.resolve("order.json");
        List<Object> args = new ArrayList<>(List.of("data", "index", copied(name),
                "--seq-length", expected.get("seq_length"),
                "--samples", expected.get("num_samples_requested"),
                "--seed", expected.get("seed"), "--json", json));
        JsonNode documents = expected.get("documents");
        if (!documents.isNull()) {
            int first = documents.get(0).asInt();
            args.addAll(List.of("--documents", first + ":" + (first + documents.size())));
        }
        Cli.Result result = Cli.run(args.toArray());
        assertThat(result.code()).as(result.err()).isZero();
        JsonNode written = MAPPER.readTree(Files.readString(json));
        for (String key : List.of("name", "seq_length", "num_samples_requested", "seed", "n_docs",
                "documents", "tokens_per_epoch", "num_epochs", "doc_idx_len", "n_samples",
                "dataset_len", "sizes", "doc_idx", "sample_idx", "shuffle_idx",
                "sha256_doc_idx_int32le", "sha256_sample_idx_int64le",
                "sha256_shuffle_idx_int64le")) {
            assertThat(written.get(key)).as(key).isEqualTo(expected.get(key));
        }
        assertThat(result.out()).contains(expected.get("sha256_shuffle_idx_int64le").asText());
        try (Stream<Path> left = Files.list(folder)) {
            assertThat(left.filter(Files::isRegularFile)).hasSize(3);
        }
    }

    /** The bytes numpy 2.4.6 saves for these arrays, by their SHA-256. */
    @Test
    void npyFilesAreThoseOfNumpyByGptNeoxsNames() throws Exception {
        Path prefix = copied("multi_epoch");
        Path arrays = folder.resolve("arrays");
        Cli.Result result = Cli.run("data", "index", prefix, "--seq-length", 16, "--samples", 150,
                "--seed", 1234, "--npy", arrays);
        assertThat(result.code()).as(result.err()).isZero();
        String start = "multi_epoch_train_0_indexmap_150ns_16sl_1234s_";
        assertThat(sha256(arrays.resolve(start + "doc_idx.npy")))
                .isEqualTo("4cbd63fab88e98f0dda049e444d44ba12c295f71ce5f63aaa9649e64d9e63534");
        assertThat(sha256(arrays.resolve(start + "sample_idx.npy")))
                .isEqualTo("09f1c13a389220fee856632c3715bf5872e070a51a13c7e93ea567d5e472413b");
        assertThat(sha256(arrays.resolve(start + "shuffle_idx.npy")))
                .isEqualTo("b2c3c1087021249ed2f9d2080c811b293a5cff667c026b731cd0692ef6e7845f");
    }

    private static String sha256(Path file) throws Exception {
        return HexFormat.of().formatHex(
                MessageDigest.getInstance("SHA-256").digest(Files.readAllBytes(file)));
    }

    @Test
    void indexSaysWhatItCannotDo() throws IOException {
        Path prefix = copied("multi_epoch");
        Object[] good = {"data", "index", prefix, "--seq-length", 16, "--samples", 10, "--seed", 1};
        assertThat(Cli.run(good).code()).isZero();
        refused(11, "0:41: the data set has only 40", good, "--documents", "0:41");
        refused(11, "5:5", good, "--documents", "5:5");
        refused(10, "--documents 5: write A:B", good, "--documents", "5");
        refused(11, "samples 0", "data", "index", prefix, "--seq-length", 16, "--samples", 0,
                "--seed", 1);
        refused(11, "fewer", "data", "index", prefix, "--seq-length", 16,
                "--samples", 1L << 60, "--seed", 1);
        refused(11, "seed -1", "data", "index", prefix, "--seq-length", 16, "--samples", 1,
                "--seed", -1);
        refused(11, "none.idx: no such file", "data", "index", folder.resolve("none"),
                "--seq-length", 16, "--samples", 10, "--seed", 1);
        refused(16, "cannot write", good, "--json", folder.resolve("no/where.json"));
        Files.delete(folder.resolve("multi_epoch.bin"));
        assertThat(Cli.run(good).code()).isZero();
    }

    private static void refused(int code, String words, Object... args) {
        List<Object> flat = new ArrayList<>();
        for (Object arg : args) {
            if (arg instanceof Object[] several) {
                flat.addAll(List.of(several));
            } else {
                flat.add(arg);
            }
        }
        Cli.Result result = Cli.run(flat.toArray());
        assertThat(result.code()).as(result.err()).isEqualTo(code);
        assertThat(result.err()).contains(words).hasLineCount(1)
                .doesNotContain("unexpected error");
    }

    @Test
    void partsAreCutSummedUpAndJoined() throws IOException {
        Path prefix = copied("single_epoch");
        String whole = "28ce9bdb91fa9f3ed8491f36e12dfa8130770c9e3a5054108647570cf0676237";
        Cli.Result cut = Cli.run("data", "shard", prefix, "--size", 1001, "--json");
        assertThat(cut.code()).as(cut.err()).isZero();
        assertThat(cut.out()).contains("single_epoch-00002-of-00002.bin", whole + "  all 3 parts");
        JsonNode json = MAPPER.readTree(cut.out().lines().toList().getLast());
        assertThat(json.get("parts")).hasSize(3);
        assertThat(json.get("sha256").asText()).isEqualTo(whole);
        Files.move(folder.resolve("single_epoch.bin"), folder.resolve("kept"));
        Path list = folder.resolve("list");
        Files.writeString(list, cut.out());
        Cli.Result sums = Cli.run("data", "checksum", prefix, "--expect", list);
        assertThat(sums.code()).as(sums.err()).isZero();
        Cli.Result noList = Cli.run("data", "checksum", prefix, "--expect", folder.resolve("none"));
        assertThat(noList.code()).isEqualTo(16);
        assertThat(noList.out()).as("the list is read first").isEmpty();
        assertThat(sums.out()).contains(whole);
        Path part = folder.resolve("single_epoch-00001-of-00002.bin");
        byte[] bytes = Files.readAllBytes(part);
        bytes[500] ^= 1;
        Files.write(part, bytes);
        Cli.Result wrong = Cli.run("data", "checksum", prefix, "--expect", list);
        assertThat(wrong.code()).isEqualTo(1);
        assertThat(wrong.out()).contains("single_epoch-00001-of-00002.bin: DIFFERENT");
        bytes[500] ^= 1;
        Files.write(part, bytes);
        assertThat(Cli.run("data", "unshard", prefix).code()).isZero();
        assertThat(Files.mismatch(folder.resolve("single_epoch.bin"), folder.resolve("kept")))
                .isEqualTo(-1);
        refused(11, "exists already", "data", "unshard", prefix);
        refused(10, "no line with a SHA-256", "data", "checksum", prefix, "--expect",
                Files.writeString(folder.resolve("empty"), "nothing\n"));
    }

    @Test
    void benchIndexReportsTimeAndMemory() throws IOException {
        Cli.Result result = Cli.run("bench", "index", "--samples", 30_000, "--seq-length", 64,
                "--folder", folder, "--json");
        assertThat(result.code()).as(result.err()).isZero();
        JsonNode json = MAPPER.readTree(result.out().lines().toList().getLast());
        assertThat(json.get("samples").asLong()).isGreaterThanOrEqualTo(30_000);
        assertThat(json.get("index_bytes").asLong()).isGreaterThan(12 * 30_000);
        assertThat(json.get("peak_bytes").asLong()).isPositive();
        assertThat(folder).isEmptyDirectory();
    }
}
