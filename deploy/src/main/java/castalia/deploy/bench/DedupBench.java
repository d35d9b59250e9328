package castalia.deploy.bench;

import castalia.workers.data.TextProgress;
import castalia.workers.data.dedup.DedupOptions;
import castalia.workers.data.dedup.Deduplicator;
import castalia.workers.data.text.TextOptions;
import java.io.BufferedWriter;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Random;

/** Times {@code data dedup} on made-up corpora that grow. */
public final class DedupBench {
    private static final int MEAN_WORDS = 400;
    private static final int REMEMBERED = 5000;

    /**
     * One size.
     *
     * @param documents read
     * @param bytes of JSON lines
     * @param planted documents made from an earlier one by changes of up to 4 % of its words
     * @param dropped what was found
     * @param candidates pairs that were verified
     * @param seconds of the whole command
     */
    public record Result(
            long documents,
            long bytes,
            long planted,
            long dropped,
            long candidates,
            double seconds) {}

    private DedupBench() {}

    /**
     * Makes a corpus in a folder, deduplicates it, and removes both.
     *
     * @param folder exists; nothing of it is touched but own files
     */
    public static Result run(Path folder, int documents, long seed, int threads)
            throws IOException {
        Path corpus = folder.resolve("dedup-corpus.jsonl");
        Path out = folder.resolve("dedup-out.jsonl");
        Path report = folder.resolve("dedup-report.jsonl");
        try {
            long planted = write(corpus, documents, seed);
            long bytes = Files.size(corpus);
            long start = System.nanoTime();
            Deduplicator.Summary summary = Deduplicator.run(List.of(corpus),
                    new DedupOptions(TextOptions.PLAIN, false, DedupOptions.PILE,
                            DedupOptions.WORDS, threads, 256L << 20),
                    out, report, TextProgress.NONE);
            double seconds = (System.nanoTime() - start) * 1e-9;
            return new Result(documents, bytes, planted, summary.exact() + summary.near(),
                    summary.candidates(), seconds);
        } finally {
            for (Path file : List.of(corpus, out, report)) {
                Files.deleteIfExists(file);
            }
        }
    }

    /** Words follow a distribution like that of English; a fifth of the documents are planted. */
    private static long write(Path file, int documents, long seed) throws IOException {
        Random random = new Random(seed);
        List<int[]> earlier = new ArrayList<>();
        long planted = 0;
        try (BufferedWriter out = Files.newBufferedWriter(file)) {
            for (int d = 0; d < documents; d++) {
                int[] words;
                if (d > 100 && random.nextInt(5) == 0) {
                    words = earlier.get(random.nextInt(earlier.size())).clone();
                    for (int e = random.nextInt(1 + words.length / 25); e > 0; e--) {
                        words[random.nextInt(words.length)] = word(random);
                    }
                    planted++;
                } else {
                    words = new int[20 + random.nextInt(2 * MEAN_WORDS)];
                    for (int w = 0; w < words.length; w++) {
                        words[w] = word(random);
                    }
                    if (earlier.size() < REMEMBERED) {
                        earlier.add(words);
                    } else {
                        earlier.set(random.nextInt(REMEMBERED), words);
                    }
                }
                out.write("{\"text\": \"");
                for (int word : words) {
                    out.write(Integer.toString(word, 36));
                    out.write(' ');
                }
                out.write("\"}\n");
            }
        }
        return planted;
    }

    private static int word(Random random) {
        return (int) (50_000 * Math.pow(random.nextDouble(), 3));
    }
}
