package castalia.workers.data.dedup;

import java.util.Arrays;

/** A set of document numbers: a bit each. */
final class DocumentSet {
    private long[] words = new long[64];
    private long size;

    void add(long document) {
        int word = Math.toIntExact(document >>> 6);
        if (word >= words.length) {
            words = Arrays.copyOf(words, Math.max(word + 1, words.length * 2));
        }
        long bit = 1L << document;
        size += (words[word] & bit) == 0 ? 1 : 0;
        words[word] |= bit;
    }

    boolean contains(long document) {
        long word = document >>> 6;
        return word < words.length && (words[(int) word] & 1L << document) != 0;
    }

    long size() {
        return size;
    }

    /** For each word of 64 documents, how many of the set come before it. */
    long[] ranks() {
        long[] ranks = new long[words.length];
        for (int w = 1; w < words.length; w++) {
            ranks[w] = ranks[w - 1] + Long.bitCount(words[w - 1]);
        }
        return ranks;
    }

    /** How many of the set come before a document. */
    long rank(long document, long[] ranks) {
        int word = (int) (document >>> 6);
        return ranks[word] + Long.bitCount(words[word] & ((1L << document) - 1));
    }
}
