package castalia.workers.data.dedup;

import castalia.workers.data.dedup.RecordSorter.Records;
import com.fasterxml.jackson.core.JsonFactory;
import com.fasterxml.jackson.core.JsonGenerator;
import java.io.BufferedWriter;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;

/** Which kept document stands for which dropped ones. */
final class ClusterReport {
    private final Locations locations;
    private final DedupOptions options;
    private final MinHash minHash;

    ClusterReport(Locations locations, DedupOptions options, MinHash minHash) {
        this.locations = locations;
        this.options = options;
        this.minHash = minHash;
    }

    /**
     * Joins both kinds of drops to records (kept, dropped, similarity) and counts the clusters. What
     * equals a document that is itself much like a kept one belongs to that one's cluster.
     *
     * @param exactDrops (first of the equal ones, dropped)
     * @param nearDrops (dropped, kept, similarity)
     */
    long collect(RecordSorter exactDrops, RecordSorter nearDrops, RecordSorter clusters)
            throws IOException {
        DocumentSet kept = new DocumentSet();
        long[] exact = new long[2];
        long[] near = new long[3];
        long exactly = Double.doubleToLongBits(1);
        try (Records exacts = exactDrops.sorted(); Records nears = nearDrops.sorted()) {
            boolean moreNear = next(nears, near, kept, clusters);
            while (exacts.next(exact)) {
                while (moreNear && near[0] < exact[0]) {
                    moreNear = next(nears, near, kept, clusters);
                }
                boolean moved = moreNear && near[0] == exact[0];
                kept.add(moved ? near[1] : exact[0]);
                clusters.add(moved ? near[1] : exact[0], exact[1], moved ? near[2] : exactly);
            }
            while (moreNear) {
                moreNear = next(nears, near, kept, clusters);
            }
        }
        return kept.size();
    }

    private static boolean next(
            Records nears, long[] near, DocumentSet kept, RecordSorter clusters)
            throws IOException {
        if (!nears.next(near)) {
            return false;
        }
        kept.add(near[1]);
        clusters.add(near[1], near[0], near[2]);
        return true;
    }

    /** Writes one JSON line about the whole and one for each cluster. */
    void write(Path file, RecordSorter clusters, Deduplicator.Summary summary)
            throws IOException {
        try (BufferedWriter out = Files.newBufferedWriter(file, StandardCharsets.UTF_8);
                JsonGenerator json = new JsonFactory().createGenerator(out)) {
            json.setRootValueSeparator(null);
            json.writeStartObject();
            json.writeStringField("mode", options.exactOnly() ? "exact" : "near");
            if (!options.exactOnly()) {
                json.writeNumberField("threshold", options.threshold());
                json.writeNumberField("shingle_words", options.shingle());
                json.writeNumberField("bands", minHash.bands());
                json.writeNumberField("rows", minHash.rows());
                json.writeNumberField("candidates", summary.candidates());
            }
            json.writeNumberField("documents", summary.documents());
            json.writeNumberField("kept", summary.kept());
            json.writeNumberField("dropped_exact", summary.exact());
            json.writeNumberField("dropped_near", summary.near());
            json.writeNumberField("clusters", summary.clusters());
            json.writeEndObject();
            json.writeRaw('\n');
            try (Records sorted = clusters.sorted()) {
                clusters(json, sorted);
            }
        }
    }

    private void clusters(JsonGenerator json, Records sorted) throws IOException {
        long[] record = new long[3];
        long kept = -1;
        while (sorted.next(record)) {
            if (record[0] != kept) {
                end(json, kept);
                kept = record[0];
                json.writeStartObject();
                json.writeFieldName("kept");
                json.writeStartObject();
                place(json, kept);
                json.writeEndObject();
                json.writeArrayFieldStart("dropped");
            }
            json.writeStartObject();
            place(json, record[1]);
            json.writeNumberField("jaccard", Double.longBitsToDouble(record[2]));
            json.writeEndObject();
        }
        end(json, kept);
    }

    private static void end(JsonGenerator json, long kept) throws IOException {
        if (kept >= 0) {
            json.writeEndArray();
            json.writeEndObject();
            json.writeRaw('\n');
        }
    }

    private void place(JsonGenerator json, long document) throws IOException {
        json.writeStringField("file", locations.file(document));
        json.writeNumberField("document", locations.number(document));
    }
}
