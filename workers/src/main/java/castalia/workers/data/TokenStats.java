package castalia.workers.data;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;

/**
 * What a token file holds, in numbers.
 *
 * @param sequences sequences, as GPT-NeoX's documents
 * @param documents entries of the document index but the last; 0 where it was not kept
 * @param empty sequences without a token
 * @param lengths shortest, median, 90 %, 99 % and longest length; exact below 2^20 tokens, above
 *     rounded up to a power of two but for the longest
 * @param smallest the smallest token id, or 0 where tokens were not read
 * @param largest the largest token id, or -1 where tokens were not read
 * @param distinct different ids
 * @param common the most frequent ids with their counts
 * @param lastTokens how often each id ends a sequence, the most frequent ones
 */
public record TokenStats(
        long sequences,
        long documents,
        long tokens,
        TokenDtype dtype,
        long empty,
        Lengths lengths,
        int smallest,
        int largest,
        int distinct,
        List<Count> common,
        List<Count> lastTokens) {
    private static final int EXACT = 1 << 20;
    private static final int MOST_IDS = 1 << 20;
    private static final int LISTED = 10;
    private static final int PIECE = 1 << 16;

    /** Lengths of sequences in tokens. */
    public record Lengths(long shortest, long median, long p90, long p99, long longest) {}

    /** An id and how often it stands there. */
    public record Count(int id, long count) {}

    /**
     * Reads a file once.
     *
     * @param withTokens whether to read the tokens too, not only the index
     */
    public static TokenStats of(TokenFile file, boolean withTokens, DataProgress progress) {
        long[] byLength = new long[EXACT + 32];
        long shortest = Long.MAX_VALUE;
        long longest = 0;
        for (long i = 0; i < file.sequences(); i++) {
            int size = file.size(i);
            byLength[place(size)]++;
            shortest = Math.min(shortest, size);
            longest = Math.max(longest, size);
        }
        Lengths lengths = new Lengths(shortest, quantile(byLength, file.sequences(), 0.5, longest),
                quantile(byLength, file.sequences(), 0.9, longest),
                quantile(byLength, file.sequences(), 0.99, longest), longest);
        Ids ids = new Ids();
        if (withTokens) {
            ids.read(file, progress);
        }
        return new TokenStats(file.sequences(), file.documentIndexLength() - 1, file.tokens(),
                file.dtype(), byLength[0], lengths, ids.largest < 0 ? 0 : ids.smallest, ids.largest,
                ids.distinct(), ids.common(ids.counts), ids.common(ids.last));
    }

    private static int place(int size) {
        return size < EXACT ? size : EXACT + 31 - Integer.numberOfLeadingZeros(size - 1 | 1);
    }

    private static long quantile(long[] byLength, long all, double share, long longest) {
        long wanted = Math.max(1, (long) Math.ceil(share * all));
        long seen = 0;
        for (int i = 0; i < byLength.length; i++) {
            seen += byLength[i];
            if (seen >= wanted) {
                return i < EXACT ? i : Math.min(longest, 2L << (i - EXACT));
            }
        }
        return longest;
    }

    /** Counts of ids below a bound; those above count for smallest and largest only. */
    private static final class Ids {
        private final long[] counts = new long[MOST_IDS];
        private final long[] last = new long[MOST_IDS];
        private int smallest = Integer.MAX_VALUE;
        private int largest = -1;

        void read(TokenFile file, DataProgress progress) {
            long done = 0;
            try (Arena arena = Arena.ofConfined()) {
                MemorySegment piece = arena.allocate(4L * PIECE, 8);
                for (long i = 0; i < file.sequences(); i++) {
                    int size = file.size(i);
                    for (int at = 0, count; at < size; at += count) {
                        count = Math.min(PIECE, size - at);
                        file.copy(i, at, count, piece, 0);
                        take(piece, count, at + count == size);
                    }
                    done += size;
                    progress.at(done, Math.max(1, file.tokens()));
                }
            }
        }

        private void take(MemorySegment piece, int count, boolean ends) {
            int id = 0;
            for (int k = 0; k < count; k++) {
                id = piece.get(ValueLayout.JAVA_INT, 4L * k);
                smallest = Math.min(smallest, id);
                largest = Math.max(largest, id);
                if (id >= 0 && id < MOST_IDS) {
                    counts[id]++;
                }
            }
            if (ends && id >= 0 && id < MOST_IDS) {
                last[id]++;
            }
        }

        int distinct() {
            int found = 0;
            for (long count : counts) {
                found += count > 0 ? 1 : 0;
            }
            return found;
        }

        List<Count> common(long[] of) {
            List<Count> found = new ArrayList<>();
            for (int id = 0; id < of.length; id++) {
                if (of[id] > 0) {
                    found.add(new Count(id, of[id]));
                }
            }
            found.sort(Comparator.comparingLong(Count::count).reversed());
            return List.copyOf(found.subList(0, Math.min(LISTED, found.size())));
        }
    }
}
