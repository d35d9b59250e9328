package castalia.workers.data;

import java.util.Arrays;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.TreeMap;

/**
 * Replaces whole words: a row is turned into text, words are replaced, the text is tokenised again,
 * and the row is cut, or filled with {@code <|padding|>}, to its length. A row in which no word is
 * replaced stays as it is, id by id.
 *
 * <p>A word is a run of letters and marks, so that <i>he's</i> has the word <i>he</i> and <i>the</i>
 * does not. Words are compared without case; the replacement has the case of the word: as given,
 * with a capital, or all capitals. Where a row begins or ends inside a character, the ids of this
 * piece stay as they are.
 */
public final class WordTransform implements TokenTransform {
    private static final String WORDS = "words";
    private static final Effect UNCHANGED = new Effect(WORDS, 0, 0, 0);
    private static final String PADDING = BpeTrainer.PADDING;

    /** A character takes at most four bytes, each perhaps a token of its own. */
    private static final int LONGEST_PIECE = 3;

    private final long fromStep;
    private final long toStep;
    private final Tokenizer tokenizer;
    private final TreeMap<String, String> words;
    private final int padding;

    /**
     * Of some steps.
     *
     * @param words word to word, both of letters only
     * @param tokenizer the one the data was made with; stays its caller's to close
     * @param vocabularySize of the model; the tokenizer's must not be larger
     * @throws DataException if the tokenizer does not fit or a word is none
     */
    public WordTransform(
            long fromStep,
            long toStep,
            Map<String, String> words,
            Tokenizer tokenizer,
            int vocabularySize) {
        TokenTransform.checkRange(fromStep, toStep);
        this.fromStep = fromStep;
        this.toStep = toStep;
        this.tokenizer = tokenizer;
        this.words = new TreeMap<>();
        words.forEach((from, to) -> {
            if (!isWord(from) || !isWord(to)) {
                throw new DataException("the transform replaces '" + from + "' by '" + to
                        + "'; both must be words of letters only");
            }
            if (this.words.put(from.toLowerCase(Locale.ROOT), to) != null) {
                throw new DataException("the transform replaces '" + from + "' twice");
            }
        });
        if (tokenizer.vocabularySize() > vocabularySize) {
            throw new DataException("the tokenizer of the transform has "
                    + tokenizer.vocabularySize() + " ids, the model " + vocabularySize);
        }
        int[] ids = tokenizer.encode(PADDING);
        if (ids.length != 1) {
            throw new DataException("the tokenizer has no token " + PADDING
                    + ", with which the transform of words fills rows that become shorter");
        }
        this.padding = ids[0];
    }

    @Override
    public long fromStep() {
        return fromStep;
    }

    @Override
    public long toStep() {
        return toStep;
    }

    @Override
    public boolean apply(int[] row) {
        return change(row).replaced() > 0;
    }

    @Override
    public Effect explain(int[] row) {
        return change(row);
    }

    private Effect change(int[] row) {
        int from = 0;
        int to = row.length;
        String text = tokenizer.decode(row);
        // The tokenizer writes a replacement character for a piece of a character.
        while (text.startsWith("\ufffd") && from < LONGEST_PIECE && from < to) {
            text = tokenizer.decode(Arrays.copyOfRange(row, ++from, to));
        }
        while (text.endsWith("\ufffd") && row.length - to < LONGEST_PIECE && from < to) {
            text = tokenizer.decode(Arrays.copyOfRange(row, from, --to));
        }
        int[] count = new int[1];
        String changed = replaced(text, count);
        if (changed.equals(text)) {
            return UNCHANGED;
        }
        int[] ids = tokenizer.encode(changed);
        int[] tail = Arrays.copyOfRange(row, to, row.length);
        int length = Math.min(ids.length, row.length - from);
        System.arraycopy(ids, 0, row, from, length);
        int tailLength = Math.min(tail.length, row.length - from - length);
        System.arraycopy(tail, 0, row, from + length, tailLength);
        int end = from + length + tailLength;
        Arrays.fill(row, end, row.length, padding);
        return new Effect(WORDS, count[0], row.length - end, from + ids.length + tail.length - end);
    }

    /** The text with its words replaced; the same object where there is none. */
    String replaced(String text) {
        return replaced(text, new int[1]);
    }

    /** As the other; adds their number to {@code count[0]}. */
    private String replaced(String text, int[] count) {
        StringBuilder out = null;
        int copied = 0;
        for (int i = 0; i < text.length(); ) {
            int start = i;
            while (i < text.length() && isPart(text.codePointAt(i))) {
                i += Character.charCount(text.codePointAt(i));
            }
            if (i == start) {
                i += Character.charCount(text.codePointAt(i));
                continue;
            }
            String word = text.substring(start, i);
            String other = words.get(word.toLowerCase(Locale.ROOT));
            if (other != null) {
                out = out == null ? new StringBuilder(text.length() + 64) : out;
                out.append(text, copied, start).append(inCaseOf(word, other));
                copied = i;
                count[0]++;
            }
        }
        return out == null ? text : out.append(text, copied, text.length()).toString();
    }

    private static String inCaseOf(String word, String other) {
        int first = word.codePointAt(0);
        if (!Character.isUpperCase(first)) {
            return other;
        }
        String upper = other.toUpperCase(Locale.ROOT);
        boolean all = word.codePointCount(0, word.length()) > 1
                && word.equals(word.toUpperCase(Locale.ROOT));
        int rest = Character.charCount(other.codePointAt(0));
        return all ? upper : other.substring(0, rest).toUpperCase(Locale.ROOT) + other.substring(rest);
    }

    private static boolean isWord(String text) {
        return !text.isEmpty() && text.codePoints().allMatch(WordTransform::isPart);
    }

    private static boolean isPart(int c) {
        int type = Character.getType(c);
        return Character.isLetter(c) || type == Character.NON_SPACING_MARK
                || type == Character.COMBINING_SPACING_MARK;
    }

    @Override
    public List<String> description() {
        return List.of("kind=words", "entries=" + words.size(),
                "map.sha256=" + Sha256.ofText(words.toString()),
                "tokenizer=" + tokenizer.fingerprint(), "padding=" + padding);
    }
}
