package castalia.workers.data;

import com.fasterxml.jackson.databind.JsonNode;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashSet;
import java.util.List;
import java.util.Optional;
import java.util.Set;
import java.util.function.Function;

/**
 * Encodes a text word by word for tokenizers whose words do not depend on their neighbours (GPT-2's
 * byte-level pattern): the library is asked for the ids of a word once, then they are remembered.
 * Gives the library's ids of the whole text, several times as fast.
 *
 * <p>Text is cut before blanks that follow something else: no word goes on over such a place, nor
 * does a match of an added token, nor a composition of characters. Within a piece only printable
 * ASCII is cut into words here; pieces with other characters, or with an added token that is not
 * blanks, are the library's as a whole, so no table of Unicode has to agree with its. May be used by
 * several threads. What is remembered takes about 20 MB for ordinary words, at most about 100 MB.
 */
final class WordEncoder {
    private static final int SLOTS = 1 << 17;
    private static final int LONGEST_REMEMBERED = 48;

    private static final class Word {
        final String text;
        final int[] ids;

        Word(String text, int[] ids) {
            this.text = text;
            this.ids = ids;
        }
    }

    private final Function<String, int[]> library;

    /** Added tokens that are no blanks, and the characters with which they begin. */
    private final List<String> names = new ArrayList<>();

    private final boolean[] begins = new boolean[128];

    /** Lengths of the added tokens that are spaces. */
    private final boolean[] spaces;

    /** By hash; a word replaces another. Races lose a word, no more: words do not change. */
    private final Word[] words = new Word[SLOTS];

    private WordEncoder(List<String> added, Function<String, int[]> library) {
        this.library = library;
        int longest = 0;
        for (String token : added) {
            if (token.isBlank()) {
                longest = Math.max(longest, token.length());
            } else {
                names.add(token);
                begins[token.charAt(0)] = true;
            }
        }
        spaces = new boolean[longest + 1];
        added.stream().filter(String::isBlank).forEach(token -> spaces[token.length()] = true);
    }

    /**
     * One for a tokenizer, if it is of the kind that is understood.
     *
     * @param library encodes any text with that tokenizer
     */
    static Optional<WordEncoder> of(
            TokenizerVocabulary tokenizer, Function<String, int[]> library) {
        JsonNode words = tokenizer.part("pre_tokenizer");
        boolean understood = tokenizer.bpe()
                && absentOr(tokenizer.part("normalizer"), "NFC")
                && words.path("type").asText().equals("ByteLevel")
                && words.path("add_prefix_space").isBoolean()
                && !words.path("add_prefix_space").booleanValue()
                && words.path("use_regex").asBoolean(true)
                && absentOr(tokenizer.part("post_processor"), "ByteLevel");
        Set<Boolean> passes = new HashSet<>(); // the library looks for those of one kind first
        List<String> added = new ArrayList<>();
        for (TokenizerVocabulary.Added token : tokenizer.added()) {
            String content = token.content();
            boolean spaces = content.chars().allMatch(c -> c == ' ');
            if (spaces) {
                passes.add(token.normalized());
            }
            understood &= token.plain()
                    && !content.isEmpty()
                    && (spaces || content.chars().allMatch(WordEncoder::isPlain));
            added.add(content);
        }
        understood &= passes.size() < 2;
        return understood ? Optional.of(new WordEncoder(added, library)) : Optional.empty();
    }

    private static boolean absentOr(JsonNode part, String type) {
        return part.isMissingNode() || part.path("type").asText().equals(type);
    }

    /** The ids of a text, as the library gives them. */
    int[] encode(String text) {
        Ids ids = new Ids(text.length() / 3 + 8);
        for (int at = 0; at < text.length(); ) {
            at = piece(text, at, ids);
        }
        return ids.taken();
    }

    /** Encodes from a place where the text may be cut to the next one. */
    private int piece(String text, int start, Ids ids) {
        int length = text.length();
        int word = start;
        while (word < length && isBlank(text.charAt(word))) {
            word++;
        }
        boolean plain = true;
        int end = word;
        for (; end < length; end++) {
            char c = text.charAt(end);
            if (isPlain(c)) {
                plain &= !begins[c] || !isName(text, end);
            } else if (isBlank(c) && end > word && !mayBeBlank(text.charAt(end - 1))) {
                break;
            } else {
                plain = false;
            }
        }
        if (plain) {
            plain(text, start, word, end, ids);
        } else {
            ids.add(ids(text, start, end));
        }
        return end;
    }

    private boolean isName(String text, int at) {
        for (String name : names) {
            if (text.startsWith(name, at)) {
                return true;
            }
        }
        return false;
    }

    /** Blanks up to {@code word}, and what is printable up to {@code end}. */
    private void plain(String text, int start, int word, int end, Ids ids) {
        int at = blanks(text, start, word, end, ids);
        while (at < end) {
            int from = at;
            at += contraction(text, at);
            if (at == from) {
                if (text.charAt(at) == ' ') {
                    at++;
                }
                int kind = kind(text.charAt(at));
                do {
                    at++;
                } while (at < end && kind(text.charAt(at)) == kind);
            }
            ids.add(ids(text, from, at));
        }
    }

    /**
     * The words of blanks: {@code \s+(?!\S)|\s+} between added tokens of spaces, of which the
     * longest is taken first.
     *
     * @return where the first other word begins, which takes a single space before it
     */
    private int blanks(String text, int start, int word, int end, Ids ids) {
        int from = start;
        for (int at = start; at < word; ) {
            int token = spaces(text, at, word);
            if (token > 0) {
                if (from < at) {
                    ids.add(ids(text, from, at));
                }
                ids.add(ids(text, at, at + token));
                from = at + token;
            }
            at += Math.max(1, token);
        }
        if (from == word) {
            return word;
        }
        if (word == end) { // the text's end
            ids.add(ids(text, from, word));
            return word;
        }
        if (word - from > 1) {
            ids.add(ids(text, from, word - 1));
        }
        if (text.charAt(word - 1) == ' ') {
            return word - 1;
        }
        ids.add(ids(text, word - 1, word));
        return word;
    }

    /** Length of the longest added token of spaces at a place; 0 if there is none. */
    private int spaces(String text, int at, int end) {
        int run = 0;
        int longest = 0;
        while (run + 1 < spaces.length && at + run < end && text.charAt(at + run) == ' ') {
            run++;
            longest = spaces[run] ? run : longest;
        }
        return longest;
    }

    /** Length of {@code 's|'t|'re|'ve|'m|'ll|'d} at a place; 0 if there is none. */
    private static int contraction(String text, int at) {
        if (text.charAt(at) != '\'' || at + 1 == text.length()) {
            return 0;
        }
        return switch (text.charAt(at + 1)) {
            case 's', 't', 'm', 'd' -> 2;
            case 'r', 'v' -> text.startsWith("e", at + 2) ? 3 : 0;
            case 'l' -> text.startsWith("l", at + 2) ? 3 : 0;
            default -> 0;
        };
    }

    private int[] ids(String text, int from, int to) {
        int length = to - from;
        if (length > LONGEST_REMEMBERED) {
            return library.apply(text.substring(from, to));
        }
        int hash = length;
        for (int i = from; i < to; i++) {
            hash = hash * 31 + text.charAt(i);
        }
        int slot = (hash ^ hash >>> 15) & SLOTS - 1;
        Word word = words[slot];
        if (word == null || word.text.length() != length || !text.startsWith(word.text, from)) {
            String asked = text.substring(from, to);
            word = new Word(asked, library.apply(asked));
            words[slot] = word;
        }
        return word.ids;
    }

    private static boolean isPlain(int c) {
        return c > ' ' && c < 0x7f;
    }

    private static boolean isBlank(char c) {
        return c == ' ' || c == '\n' || c == '\t' || c == '\r';
    }

    /** Whether a character is white space, or may be to somebody. */
    private static boolean mayBeBlank(char c) {
        return c <= ' '
                || (c >= 0x7f && c <= 0xa0)
                || Character.isSpaceChar(c)
                || c == 0x180e
                || c == 0x200b
                || c == 0xfeff;
    }

    private static int kind(char c) {
        return c >= '0' && c <= '9' ? 1 : (c | 0x20) >= 'a' && (c | 0x20) <= 'z' ? 2 : 0;
    }

    /** Ids that grow in number. */
    private static final class Ids {
        private int[] ids;
        private int count;

        Ids(int room) {
            ids = new int[room];
        }

        void add(int[] more) {
            if (more.length > ids.length - count) {
                ids = Arrays.copyOf(ids, Math.max(count + more.length, ids.length + (ids.length >> 1)));
            }
            if (more.length == 1) {
                ids[count++] = more[0];
                return;
            }
            System.arraycopy(more, 0, ids, count, more.length);
            count += more.length;
        }

        int[] taken() {
            return Arrays.copyOf(ids, count);
        }
    }
}
