package castalia.workers.data.dedup;

import java.text.Normalizer;
import java.util.Arrays;

/**
 * The words of a text, as numbers, and its shingles: all runs of n words.
 *
 * <p>A text is normalised to NFC and lower case. A word is a run of letters, marks, digits; an
 * ideograph or a Japanese syllable is a word of its own, because such text has no blanks. All else
 * separates words. A text of fewer than n words, but at least one, has one shingle, of all of them.
 */
final class Words {
    private static final long START = 0x5851f42d4c957f2dL;
    private static final long STEP = 0x14057b7ef767814fL;

    private Words() {}

    /** Normalised text, for the comparison of whole texts: runs of blanks count as one. */
    static String normalised(String text) {
        String composed = composed(text);
        StringBuilder out = new StringBuilder(composed.length());
        boolean blank = false;
        for (int i = 0; i < composed.length(); ) {
            int c = composed.codePointAt(i);
            i += Character.charCount(c);
            if (Character.isWhitespace(c) || Character.isSpaceChar(c)) {
                blank = out.length() > 0;
                continue;
            }
            if (blank) {
                out.append(' ');
                blank = false;
            }
            out.appendCodePoint(Character.toLowerCase(c));
        }
        return out.toString();
    }

    private static String composed(String text) {
        // Most text is composed already; the check is a fraction of the work.
        return Normalizer.isNormalized(text, Normalizer.Form.NFC)
                ? text
                : Normalizer.normalize(text, Normalizer.Form.NFC);
    }

    /** A hash of each word, in order. */
    static long[] of(String text) {
        String composed = composed(text);
        long[] words = new long[Math.max(16, composed.length() / 5)];
        int count = 0;
        long word = 0;
        boolean inside = false;
        for (int i = 0; i <= composed.length(); ) {
            int c = i < composed.length() ? composed.codePointAt(i) : ' ';
            i += Character.charCount(c);
            boolean alone = isAlone(c);
            if (inside && (alone || !isPart(c))) {
                words = added(words, count++, Mixing.mix(word));
                inside = false;
            }
            if (alone) {
                words = added(words, count++, Mixing.mix(step(START, c)));
            } else if (isPart(c)) {
                word = step(inside ? word : START, Character.toLowerCase(c));
                inside = true;
            }
        }
        return Arrays.copyOf(words, count);
    }

    private static long step(long word, int c) {
        return Long.rotateLeft((word ^ c) * STEP, 29);
    }

    private static long[] added(long[] words, int count, long word) {
        long[] room = count == words.length ? Arrays.copyOf(words, 2 * count) : words;
        room[count] = word;
        return room;
    }

    private static boolean isPart(int c) {
        if (c < 128) {
            return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
        }
        int type = Character.getType(c);
        return Character.isLetterOrDigit(c) || type == Character.NON_SPACING_MARK
                || type == Character.COMBINING_SPACING_MARK;
    }

    private static boolean isAlone(int c) {
        return c >= 0x3040 && (Character.isIdeographic(c) || c <= 0x30ff);
    }

    /** The hashes of the different shingles, ascending. */
    static long[] shingles(long[] words, int n) {
        if (words.length == 0) {
            return words;
        }
        int runs = Math.max(1, words.length - n + 1);
        int length = Math.min(n, words.length);
        long[] shingles = new long[runs];
        for (int s = 0; s < runs; s++) {
            long hash = length;
            for (int w = s; w < s + length; w++) {
                hash = Mixing.mix(hash * STEP + words[w]);
            }
            shingles[s] = hash;
        }
        Arrays.sort(shingles);
        int different = 0;
        for (int s = 0; s < runs; s++) {
            if (s == 0 || shingles[s] != shingles[s - 1]) {
                shingles[different++] = shingles[s];
            }
        }
        return Arrays.copyOf(shingles, different);
    }

    /** The Jaccard similarity of two ascending sets: common over all; 0 if either is empty. */
    static double jaccard(long[] a, long[] b) {
        int common = 0;
        int i = 0;
        int k = 0;
        while (i < a.length && k < b.length) {
            long x = a[i];
            long y = b[k];
            common += x == y ? 1 : 0;
            i += x <= y ? 1 : 0;
            k += y <= x ? 1 : 0;
        }
        int all = a.length + b.length - common;
        return common == 0 ? 0 : (double) common / all;
    }
}
