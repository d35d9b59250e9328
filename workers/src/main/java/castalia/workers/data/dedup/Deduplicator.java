package castalia.workers.data.dedup;

import castalia.workers.data.DataException;
import castalia.workers.data.TextProgress;
import castalia.workers.data.WorkFolder;
import castalia.workers.data.dedup.RecordSorter.Records;
import castalia.workers.data.text.DocumentBlock;
import castalia.workers.data.text.DocumentReader;
import castalia.workers.data.text.OrderedWork;
import castalia.workers.data.text.RawDocument;
import castalia.workers.data.text.TextInputs;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Objects;
import java.util.function.Function;
import java.util.zip.CRC32C;

/**
 * Leaves out documents that are equal to, or much like, one that comes before them.
 *
 * <p>A document is dropped when its normalised text equals that of an earlier one, or when its set
 * of shingles has at least the threshold's Jaccard similarity with that of an earlier document that
 * is kept. So every dropped document has a kept one that stands for it. Candidates come from MinHash
 * bands; each is verified with the whole sets. The result depends on the inputs' order and the
 * options alone.
 *
 * <p>The inputs are read three times, as a stream; what is remembered of documents is sorted in
 * files in the folder {@code OUT.partial}. In memory are a few bits per document, eight bytes per
 * document that has a candidate, and the sorters' buffers.
 */
public final class Deduplicator {
    /** In a band's group each document is compared with so many first and so many previous ones. */
    private static final int NEIGHBOURS = 64;

    /**
     * What was found.
     *
     * @param documents read
     * @param kept written
     * @param exact dropped because the text is that of another
     * @param near dropped because the shingles are much like another's
     * @param candidates pairs of documents that share a band
     * @param clusters kept documents that stand for dropped ones
     * @param textBytes bytes of the documents, JSON lines as they are
     */
    public record Summary(
            long documents,
            long kept,
            long exact,
            long near,
            long candidates,
            long clusters,
            long textBytes) {}

    /** What the first pass knows of a block's documents. */
    private record Described(
            DocumentBlock block, List<long[]> hashes, List<long[]> keys) {}

    private record Shingled(DocumentBlock block, List<long[]> shingles) {}

    private final TextInputs inputs;
    private final DedupOptions options;
    private final MinHash minHash;
    private final WorkFolder work;
    private final TextProgress progress;
    private final int passes;
    private final DocumentSet exact = new DocumentSet();
    private final DocumentSet near = new DocumentSet();
    private final long[] partStarts;
    private long documents;
    private long textBytes;
    private long checksum;
    private int pass;

    private Deduplicator(
            TextInputs inputs, DedupOptions options, WorkFolder work, TextProgress progress) {
        this.inputs = inputs;
        this.options = options;
        this.minHash = MinHash.forThreshold(options.threshold());
        this.work = work;
        this.progress = progress;
        this.passes = options.exactOnly() ? 2 : 3;
        this.partStarts = new long[inputs.parts().size() + 1];
    }

    /**
     * Writes the documents that are kept as JSON lines, and what was dropped.
     *
     * @param paths as for {@link TextInputs}
     * @param target a new file; compressed if its name ends with .gz or .zst. JSON lines are
     *     written as they are, texts as objects with the field {@code text}
     * @param report a new file: JSON lines, the first about the whole, then one for each cluster
     * @throws DataException if an input is broken or changes meanwhile, or a file cannot be written
     */
    public static Summary run(
            List<Path> paths,
            DedupOptions options,
            Path target,
            Path report,
            TextProgress progress) {
        for (Path file : List.of(target, report)) {
            if (Files.exists(file)) {
                throw new DataException(
                        file + ": exists already; remove it or choose another name");
            }
        }
        Path place = report.toAbsolutePath().normalize();
        if (target.toAbsolutePath().normalize().equals(place)) {
            throw new DataException(
                    report + ": result and report need different names");
        }
        TextInputs inputs = TextInputs.of(paths, options.text());
        try (WorkFolder work = WorkFolder.beside(target)) {
            Files.createDirectories(Objects.requireNonNull(place.getParent()));
            work.clear();
            try {
                return new Deduplicator(inputs, options, work, progress).run(target, report);
            } finally {
                work.remove();
            }
        } catch (IOException e) {
            throw new DataException(target + ": cannot be written (" + e + "); check the folder's"
                    + " rights and the free space, then start again", e);
        }
    }

    private Summary run(Path target, Path report) throws IOException {
        try (RecordSorter exactDrops = sorter("exact-drops", 2);
                RecordSorter nearDrops = sorter("near-drops", 3)) {
            long candidates = find(exactDrops, nearDrops);
            Path kept = work.file("kept");
            Path clustersFile = work.file("report");
            long written = write(target, kept);
            Locations locations = new Locations(inputs, partStarts);
            ClusterReport clusters = new ClusterReport(locations, options, minHash);
            Summary summary;
            try (RecordSorter merged = sorter("clusters", 3)) {
                long number = clusters.collect(exactDrops, nearDrops, merged);
                summary = new Summary(documents, written, exact.size(), near.size(), candidates,
                        number, textBytes);
                clusters.write(clustersFile, merged, summary);
            }
            DedupOutput.publish(clustersFile, report);
            DedupOutput.publish(kept, target);
            return summary;
        }
    }

    private RecordSorter sorter(String name, int width) {
        return new RecordSorter(work.path(), name, width, options.memoryBytes());
    }

    /** Marks what is dropped; returns the number of candidate pairs. */
    private long find(RecordSorter exactDrops, RecordSorter nearDrops) throws IOException {
        try (RecordSorter pairs = sorter("pairs", 2)) {
            DocumentSet candidates = firstPass(exactDrops, pairs);
            if (options.exactOnly()) {
                return 0;
            }
            try (ShingleStore store = new ShingleStore(work.file("shingles"), candidates)) {
                shingle(store, candidates);
                return verify(pairs, store, nearDrops);
            }
        }
    }

    /** Marks equal texts and adds the pairs to look at; what it sorted is removed again. */
    private DocumentSet firstPass(RecordSorter exactDrops, RecordSorter pairs)
            throws IOException {
        try (RecordSorter bands = sorter("bands", 2)) {
            try (RecordSorter hashes = sorter("hashes", TextHash.NUMBERS + 1)) {
                describe(hashes, bands);
                markExact(hashes, exactDrops);
            }
            return pair(bands, pairs);
        }
    }

    /** First pass: hashes of texts and of bands. */
    private void describe(RecordSorter hashes, RecordSorter bands) {
        pass(block -> {
            List<long[]> texts = new ArrayList<>();
            List<long[]> keys = new ArrayList<>();
            for (RawDocument document : block.documents()) {
                String text = inputs.text(document);
                texts.add(TextHash.of(Words.normalised(text)));
                long[] shingles = options.exactOnly()
                        ? new long[0]
                        : Words.shingles(Words.of(text), options.shingle());
                keys.add(shingles.length == 0 ? shingles : minHash.keys(shingles));
            }
            return new Described(block, texts, keys);
        }, described -> {
            for (int d = 0; d < described.hashes().size(); d++) {
                RawDocument document = described.block().documents().get(d);
                partStarts[document.part() + 1] = documents + 1;
                textBytes += document.content().length;
                long[] record = Arrays.copyOf(described.hashes().get(d), TextHash.NUMBERS + 1);
                record[TextHash.NUMBERS] = documents;
                hashes.add(record);
                for (long key : described.keys().get(d)) {
                    bands.add(key, documents);
                }
                documents++;
            }
        }, described -> described.block());
        for (int p = 1; p < partStarts.length; p++) {
            partStarts[p] = Math.max(partStarts[p], partStarts[p - 1]); // A part may be empty.
        }
    }

    private void markExact(RecordSorter hashes, RecordSorter drops) throws IOException {
        long[] record = new long[TextHash.NUMBERS + 1];
        long[] first = new long[TextHash.NUMBERS + 1];
        try (Records sorted = hashes.sorted()) {
            boolean any = false;
            while (sorted.next(record)) {
                if (any && Arrays.equals(record, 0, TextHash.NUMBERS,
                        first, 0, TextHash.NUMBERS)) {
                    exact.add(record[TextHash.NUMBERS]);
                    drops.add(first[TextHash.NUMBERS], record[TextHash.NUMBERS]);
                } else {
                    System.arraycopy(record, 0, first, 0, record.length);
                    any = true;
                }
            }
        }
    }

    /** Adds pairs (later, earlier) of documents that share a band; returns all in them. */
    private DocumentSet pair(RecordSorter bands, RecordSorter pairs) throws IOException {
        DocumentSet candidates = new DocumentSet();
        Neighbours group = new Neighbours(NEIGHBOURS);
        long[] record = new long[2];
        try (Records sorted = bands.sorted()) {
            long key = 0;
            while (sorted.next(record)) {
                if (record[0] != key || group.isEmpty()) {
                    key = record[0];
                    group.clear();
                }
                long document = record[1];
                if (exact.contains(document)) {
                    continue;
                }
                for (int i = 0; i < group.size(); i++) {
                    pairs.add(document, group.get(i));
                    candidates.add(document);
                    candidates.add(group.get(i));
                }
                group.add(document);
            }
        }
        return candidates;
    }

    /** Second pass: the shingles of candidates. */
    private void shingle(ShingleStore store, DocumentSet candidates) throws IOException {
        long before = checksum;
        pass(block -> {
            List<long[]> shingles = new ArrayList<>();
            for (int d = 0; d < block.documents().size(); d++) {
                if (candidates.contains(block.first() + d)) {
                    String text = inputs.text(block.documents().get(d));
                    shingles.add(Words.shingles(Words.of(text), options.shingle()));
                }
            }
            return new Shingled(block, shingles);
        }, shingled -> {
            for (long[] set : shingled.shingles()) {
                store.add(set);
            }
        }, Shingled::block);
        requireUnchanged(before);
        store.seal();
    }

    /** Decides in the order of the documents, so that only kept ones stand for others. */
    private long verify(RecordSorter pairs, ShingleStore store, RecordSorter drops)
            throws IOException {
        long count = 0;
        long[] pair = new long[2];
        long[] last = {-1, -1};
        long loaded = -1;
        long[] set = {};
        try (Records sorted = pairs.sorted()) {
            while (sorted.next(pair)) {
                if (Arrays.equals(pair, last)) {
                    continue;
                }
                count++;
                System.arraycopy(pair, 0, last, 0, 2);
                if (near.contains(pair[0]) || near.contains(pair[1])) {
                    continue;
                }
                if (pair[0] != loaded) {
                    loaded = pair[0];
                    set = store.get(loaded);
                }
                double similarity = Words.jaccard(set, store.get(pair[1]));
                if (similarity >= options.threshold()) {
                    near.add(pair[0]);
                    drops.add(pair[0], pair[1], Double.doubleToLongBits(similarity));
                }
            }
        }
        return count;
    }

    /** Last pass: what is kept. */
    private long write(Path target, Path kept) throws IOException {
        long before = checksum;
        long[] written = {0};
        try (DedupOutput output = DedupOutput.open(kept, target.toString())) {
            pass(block -> block, block -> {
                for (int d = 0; d < block.documents().size(); d++) {
                    long document = block.first() + d;
                    if (!exact.contains(document) && !near.contains(document)) {
                        RawDocument raw = block.documents().get(d);
                        if (inputs.isJson(raw)) {
                            output.line(raw.content());
                        } else {
                            output.text(inputs.text(raw));
                        }
                        written[0]++;
                    }
                }
            }, block -> block);
            requireUnchanged(before);
            output.finish();
        }
        return written[0];
    }

    @FunctionalInterface
    private interface Sink<T> {
        void take(T result) throws IOException;
    }

    private <T> void pass(
            Function<DocumentBlock, T> task,
            Sink<T> sink,
            Function<T, DocumentBlock> blockOf) {
        CRC32C crc = new CRC32C();
        long all = inputs.bytes() * passes;
        long done = inputs.bytes() * pass;
        long[] bytes = {0};
        checksum = 0;
        try (DocumentReader reader = inputs.open(0)) {
            OrderedWork.run(reader, options.threads(), task, result -> {
                DocumentBlock block = blockOf.apply(result);
                for (RawDocument document : block.documents()) {
                    crc.update(document.content());
                    checksum = Mixing.mix(checksum ^ crc.getValue());
                }
                try {
                    sink.take(result);
                } catch (IOException e) {
                    throw new DataException(work.path() + ": cannot be written (" + e + "); check"
                            + " the free space, then start again", e);
                }
                bytes[0] += block.bytes();
                progress.show(done + block.position(), all, bytes[0], block.first());
            });
        }
        pass++;
    }

    private void requireUnchanged(long before) {
        if (checksum != before) {
            throw new DataException("an input changed while it was read; leave the files alone and"
                    + " start again");
        }
    }
}
