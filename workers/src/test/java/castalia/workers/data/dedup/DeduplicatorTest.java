package castalia.workers.data.dedup;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import castalia.workers.data.DataException;
import castalia.workers.data.TextProgress;
import castalia.workers.data.text.TextOptions;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.github.luben.zstd.ZstdInputStream;
import java.io.IOException;
import java.io.InputStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Random;
import java.util.Set;
import java.util.TreeMap;
import java.util.TreeSet;
import java.util.zip.GZIPInputStream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class DeduplicatorTest {
    private static final ObjectMapper MAPPER = new ObjectMapper();

    @TempDir Path folder;

    private static DedupOptions near(int threads, long memory) {
        return new DedupOptions(
                TextOptions.PLAIN, false, DedupOptions.PILE, 5, threads, memory);
    }

    private static DedupOptions exact() {
        return new DedupOptions(TextOptions.PLAIN, true, DedupOptions.PILE, 5, 2, 1 << 20);
    }

    private Path corpus(String name, List<String> texts) throws IOException {
        StringBuilder lines = new StringBuilder();
        for (int i = 0; i < texts.size(); i++) {
            lines.append(MAPPER.writeValueAsString(new TreeMap<>(Map.of("text", texts.get(i),
                    "id", i)))).append('\n');
        }
        return Files.writeString(folder.resolve(name), lines);
    }

    private Deduplicator.Summary run(DedupOptions options, String out, Path... inputs) {
        return Deduplicator.run(List.of(inputs), options, folder.resolve(out),
                folder.resolve(out + ".report.jsonl"), TextProgress.NONE);
    }

    private List<JsonNode> lines(String name) throws IOException {
        List<JsonNode> lines = new ArrayList<>();
        try (InputStream in = Files.newInputStream(folder.resolve(name));
                InputStream plain = name.endsWith(".gz") ? new GZIPInputStream(in)
                        : name.endsWith(".zst") ? new ZstdInputStream(in) : in) {
            for (String line : new String(plain.readAllBytes(), StandardCharsets.UTF_8)
                    .split("\n")) {
                lines.add(MAPPER.readTree(line));
            }
        }
        return lines;
    }

    /** Which of n documents with an id are missing. */
    private Set<Integer> dropped(String name, int n) throws IOException {
        Set<Integer> left = new TreeSet<>();
        for (int i = 0; i < n; i++) {
            left.add(i);
        }
        for (JsonNode line : lines(name)) {
            assertThat(left.remove(line.path("id").intValue())).isTrue();
        }
        return left;
    }

    /** Plain sets of strings, as a reader of the definition would do it. */
    private static Set<String> shingles(String text) {
        List<String> words = new ArrayList<>();
        for (String word : text.toLowerCase(Locale.ROOT).split("[^\\p{L}\\p{N}]+")) {
            if (!word.isEmpty()) {
                words.add(word);
            }
        }
        Set<String> shingles = new HashSet<>();
        for (int i = 0; i + 5 <= words.size(); i++) {
            shingles.add(String.join(" ", words.subList(i, i + 5)));
        }
        if (shingles.isEmpty() && !words.isEmpty()) {
            shingles.add(String.join(" ", words));
        }
        return shingles;
    }

    private static double jaccard(Set<String> a, Set<String> b) {
        int common = 0;
        for (String one : a) {
            common += b.contains(one) ? 1 : 0;
        }
        return common == 0 ? 0 : (double) common / (a.size() + b.size() - common);
    }

    private static String words(Random random, int count) {
        StringBuilder text = new StringBuilder();
        for (int i = 0; i < count; i++) {
            text.append("w").append(random.nextInt(3000)).append(i % 11 == 10 ? ".\n" : " ");
        }
        return text.toString();
    }

    /** Changes, removes or adds so many words here and there. */
    private static String edited(Random random, String text, int edits) {
        List<String> words = new ArrayList<>(List.of(text.split(" ")));
        for (int e = 0; e < edits; e++) {
            int at = random.nextInt(words.size());
            switch (random.nextInt(3)) {
                case 0 -> words.set(at, "edit" + random.nextInt(100_000));
                case 1 -> words.remove(at);
                default -> words.add(at, "more" + random.nextInt(100_000));
            }
        }
        return String.join(" ", words);
    }

    /** Documents of which many are like an earlier one, some more than the threshold. */
    private static List<String> planted(long seed, int count) {
        Random random = new Random(seed);
        List<String> texts = new ArrayList<>();
        for (int i = 0; i < count; i++) {
            if (i > 10 && random.nextInt(3) == 0) {
                String earlier = texts.get(random.nextInt(texts.size()));
                int length = earlier.split(" ").length;
                texts.add(edited(random, earlier, random.nextInt(1 + length / 25)));
            } else {
                texts.add(words(random, 20 + random.nextInt(600)));
            }
        }
        return texts;
    }

    @Test
    void whatBruteForceFindsIsFound() throws IOException {
        List<String> texts = planted(17, 900);
        List<Set<String>> sets = texts.stream().map(DeduplicatorTest::shingles).toList();
        Set<Integer> truth = new TreeSet<>();
        int atThreshold = 0;
        for (int i = 0; i < texts.size(); i++) {
            for (int k = 0; k < i; k++) {
                double similarity = truth.contains(k) ? 0 : jaccard(sets.get(i), sets.get(k));
                if (similarity >= DedupOptions.PILE) {
                    atThreshold += similarity < 0.92 ? 1 : 0;
                    truth.add(i);
                    break;
                }
            }
        }
        assertThat(atThreshold).as("hard cases").isGreaterThan(20);
        Path corpus = corpus("corpus.jsonl", texts);
        Deduplicator.Summary summary = run(near(2, 1 << 20), "out.jsonl", corpus);
        Set<Integer> found = dropped("out.jsonl", texts.size());
        Set<Integer> right = new TreeSet<>(found);
        right.retainAll(truth);
        double recall = (double) right.size() / truth.size();
        double precision = (double) right.size() / found.size();
        System.out.printf(Locale.ROOT, "dedup: %d documents, %d duplicates, %d found, recall %.4f,"
                + " precision %.4f%n", texts.size(), truth.size(), found.size(), recall, precision);
        assertThat(recall).isGreaterThanOrEqualTo(0.95);
        assertThat(precision).isGreaterThanOrEqualTo(0.99);
        assertThat(summary.exact() + summary.near()).isEqualTo(found.size());
        assertThat(summary.kept()).isEqualTo(texts.size() - found.size());
        everyDroppedDocumentHasAKeptOneLikeIt("out.jsonl.report.jsonl", sets, found, summary);
    }

    private void everyDroppedDocumentHasAKeptOneLikeIt(
            String report, List<Set<String>> sets, Set<Integer> found,
            Deduplicator.Summary summary) throws IOException {
        List<JsonNode> lines = lines(report);
        assertThat(lines.getFirst().path("kept").longValue()).isEqualTo(summary.kept());
        assertThat(lines).hasSize(1 + (int) summary.clusters());
        Set<Integer> reported = new TreeSet<>();
        for (JsonNode cluster : lines.subList(1, lines.size())) {
            int kept = cluster.path("kept").path("document").intValue() - 1;
            assertThat(found).doesNotContain(kept);
            for (JsonNode one : cluster.path("dropped")) {
                int document = one.path("document").intValue() - 1;
                assertThat(reported.add(document)).isTrue();
                assertThat(one.path("file").asText()).endsWith("corpus.jsonl");
                double similarity = jaccard(sets.get(document), sets.get(kept));
                assertThat(similarity).isGreaterThanOrEqualTo(DedupOptions.PILE);
                assertThat(one.path("jaccard").doubleValue()).isEqualTo(similarity);
            }
        }
        assertThat(reported).isEqualTo(found);
    }

    @Test
    void theResultDependsNeitherOnThreadsNorOnMemory() throws IOException {
        Path corpus = corpus("corpus.jsonl", planted(3, 2500));
        run(near(1, 1 << 28), "a.jsonl", corpus);
        run(near(4, 1 << 20), "b.jsonl", corpus);
        assertThat(folder.resolve("b.jsonl")).hasSameBinaryContentAs(folder.resolve("a.jsonl"));
        assertThat(folder.resolve("b.jsonl.report.jsonl"))
                .hasSameBinaryContentAs(folder.resolve("a.jsonl.report.jsonl"));
        try (var left = Files.list(folder)) {
            assertThat(left.map(path -> path.getFileName().toString()))
                    .noneMatch(name -> name.endsWith(".partial"));
        }
    }

    @Test
    void exactDuplicatesAreEqualAfterNormalisation() throws IOException {
        Path one = corpus("one.jsonl", List.of("A b\n\nc é", "other", "a B c e\u0301  ", "a bc"));
        Path two = corpus("two.jsonl", List.of("new", " Other"));
        Deduplicator.Summary summary = run(exact(), "out.jsonl", one, two);
        assertThat(summary).isEqualTo(
                new Deduplicator.Summary(6, 4, 2, 0, 0, 2, summary.textBytes()));
        List<JsonNode> report = lines("out.jsonl.report.jsonl");
        assertThat(report.get(1).path("dropped").get(0).path("document").intValue()).isEqualTo(3);
        assertThat(report.get(2).path("kept").path("document").intValue()).isEqualTo(2);
        assertThat(report.get(2).path("dropped").get(0).path("file").asText())
                .endsWith("two.jsonl");
        assertThat(report.get(2).path("dropped").get(0).path("document").intValue()).isEqualTo(2);
    }

    @Test
    void whatEqualsANearDuplicateJoinsItsCluster() throws IOException {
        Random random = new Random(8);
        String base = words(random, 400);
        String like = edited(random, base, 1);
        Path corpus = corpus("corpus.jsonl", List.of(base, like, "x", like.toUpperCase(Locale.ROOT)));
        run(near(1, 1 << 20), "out.jsonl", corpus);
        assertThat(dropped("out.jsonl", 4)).containsExactly(1, 3);
        List<JsonNode> report = lines("out.jsonl.report.jsonl");
        assertThat(report).hasSize(2);
        assertThat(report.get(1).path("kept").path("document").intValue()).isEqualTo(1);
        assertThat(report.get(1).path("dropped")).hasSize(2);
    }

    @Test
    void textsWithoutWordsOrWithFewAreNotConfused() throws IOException {
        Path corpus = corpus("corpus.jsonl",
                List.of("...", "!!!", "...", "one", "One!", "one two", "日本語の文章", "日本語の文章。", ""));
        run(near(1, 1 << 20), "out.jsonl", corpus);
        assertThat(dropped("out.jsonl", 9)).containsExactly(2, 4, 7);
    }

    @Test
    void manyLikeDocumentsTakeNoQuadraticTime() throws IOException {
        Random random = new Random(2);
        String base = words(random, 100);
        List<String> texts = new ArrayList<>();
        Map<String, Integer> seen = new HashMap<>();
        for (int i = 0; i < 3000; i++) {
            String text = base + " w" + i;
            seen.put(text, i);
            texts.add(text);
        }
        assertThat(seen).hasSize(3000);
        Deduplicator.Summary summary =
                run(near(2, 1 << 22), "out.jsonl", corpus("corpus.jsonl", texts));
        assertThat(summary.kept()).isEqualTo(1);
        assertThat(summary.candidates()).isLessThan(1_000_000); // of 4,498,500 pairs
    }

    @Test
    void textFilesBecomeJsonLinesAndNamesTellTheCompression() throws IOException {
        Files.createDirectories(folder.resolve("in"));
        Files.writeString(folder.resolve("in/a.txt"), "tab\t\"quoted\" é\n");
        Files.writeString(folder.resolve("in/b.txt"), "other");
        Files.writeString(folder.resolve("in/c.txt"), "TAB \"quoted\" é");
        for (String out : List.of("o.jsonl", "o.jsonl.gz", "o.jsonl.zst")) {
            run(exact(), out, folder.resolve("in"));
            assertThat(lines(out).stream().map(line -> line.path("text").asText()))
                    .containsExactly("tab\t\"quoted\" é\n", "other");
        }
    }

    @Test
    void brokenInputAndExistingResultsAreNamed() throws IOException {
        Path bad = Files.writeString(folder.resolve("bad.jsonl"), "{\"text\": \"a\"}\n{\n");
        assertThatThrownBy(() -> run(exact(), "out.jsonl", bad))
                .isInstanceOf(DataException.class)
                .hasMessageContaining("bad.jsonl: line 2");
        assertThat(folder.resolve("out.jsonl")).doesNotExist();
        assertThat(folder.resolve("out.jsonl.partial")).doesNotExist();
        Path good = corpus("good.jsonl", List.of("a"));
        run(exact(), "out.jsonl", good);
        assertThatThrownBy(() -> run(exact(), "out.jsonl", good))
                .hasMessageContainingAll("out.jsonl", "exists already");
        assertThatThrownBy(() -> new DedupOptions(TextOptions.PLAIN, false, 1.5, 5, 1, 1 << 20))
                .hasMessageContaining("threshold 1.5");
    }
}
