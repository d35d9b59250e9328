package castalia.workers.data;

import java.util.Arrays;
import java.util.function.IntConsumer;

/** Finds a sequence of tokens, or the bytes of a text, in rows of tokens. Not for several threads. */
public abstract sealed class SampleSearch {
    private SampleSearch() {}

    /**
     * Tells the position of the token in which each find begins, in rising order. Finds may
     * overlap.
     */
    public abstract void in(int[] row, IntConsumer found);

    /** Looks for tokens one after another. */
    public static SampleSearch tokens(int... tokens) {
        if (tokens.length == 0) {
            throw new DataException("nothing to look for; give at least one token");
        }
        for (int token : tokens) {
            if (token < 0) {
                throw new DataException("token " + token + " is none; ids begin at 0");
            }
        }
        return new Tokens(tokens.clone());
    }

    /**
     * Looks for a text, however it was cut into tokens.
     *
     * @param utf8 the text's bytes
     * @param spellings of {@link Tokenizer#spellings}
     */
    public static SampleSearch bytes(byte[] utf8, byte[][] spellings) {
        if (utf8.length == 0) {
            throw new DataException("nothing to look for; give a text of at least one character");
        }
        return new Bytes(utf8.clone(), spellings);
    }

    private static final class Tokens extends SampleSearch {
        private final int[] wanted;

        Tokens(int[] wanted) {
            this.wanted = wanted;
        }

        @Override
        public void in(int[] row, IntConsumer found) {
            for (int at = 0; at + wanted.length <= row.length; at++) {
                if (row[at] == wanted[0]
                        && Arrays.equals(row, at, at + wanted.length, wanted, 0, wanted.length)) {
                    found.accept(at);
                }
            }
        }
    }

    /** Spells a row out and skips through it as Horspool's algorithm does. */
    private static final class Bytes extends SampleSearch {
        private final byte[] wanted;
        private final byte[][] spellings;
        private final int[] skip = new int[256];
        private byte[] text = new byte[1 << 14];
        private int[] ends = new int[0];

        Bytes(byte[] wanted, byte[][] spellings) {
            this.wanted = wanted;
            this.spellings = spellings;
            Arrays.fill(skip, wanted.length);
            for (int i = 0; i < wanted.length - 1; i++) {
                skip[wanted[i] & 0xff] = wanted.length - 1 - i;
            }
        }

        @Override
        public void in(int[] row, IntConsumer found) {
            int length = spell(row);
            int last = wanted.length - 1;
            int token = 0;
            for (int at = 0; at + last < length; at += skip[text[at + last] & 0xff]) {
                if (text[at + last] == wanted[last]
                        && Arrays.equals(text, at, at + last, wanted, 0, last)) {
                    while (ends[token] <= at) {
                        token++;
                    }
                    found.accept(token);
                }
            }
        }

        private int spell(int[] row) {
            if (ends.length < row.length) {
                ends = new int[row.length];
            }
            int length = 0;
            for (int i = 0; i < row.length; i++) {
                byte[] spelling = row[i] >= 0 && row[i] < spellings.length ? spellings[row[i]] : null;
                if (spelling != null) {
                    if (length + spelling.length > text.length) {
                        text = Arrays.copyOf(text, 2 * (length + spelling.length));
                    }
                    System.arraycopy(spelling, 0, text, length, spelling.length);
                    length += spelling.length;
                }
                ends[i] = length;
            }
            return length;
        }
    }
}
