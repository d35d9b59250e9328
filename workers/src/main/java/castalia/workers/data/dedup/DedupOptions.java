package castalia.workers.data.dedup;

import castalia.workers.data.DataException;
import castalia.workers.data.text.TextOptions;

/**
 * What counts as a duplicate.
 *
 * @param text how files become documents
 * @param exactOnly only documents whose normalised texts are equal
 * @param threshold Jaccard similarity of the shingle sets from which a document is a duplicate
 * @param shingle words of a shingle
 * @param threads how many compute; the result does not depend on it
 * @param memoryBytes what sorting may take of the Java heap
 */
public record DedupOptions(
        TextOptions text,
        boolean exactOnly,
        double threshold,
        int shingle,
        int threads,
        long memoryBytes) {
    /** The Pile's threshold. */
    public static final double PILE = 0.87;

    /** Words of a shingle where nothing else is asked for. */
    public static final int WORDS = 5;

    public DedupOptions {
        if (!(threshold >= 0.5 && threshold <= 1)) {
            throw new DataException("threshold " + threshold + " must lie between 0.5 and 1");
        }
        if (shingle < 1 || shingle > 100) {
            throw new DataException("shingles of " + shingle + " words; 1 to 100 are possible");
        }
        if (threads < 1 || memoryBytes < 1 << 20) {
            throw new DataException("at least one thread and 1 MiB of memory are needed");
        }
    }
}
