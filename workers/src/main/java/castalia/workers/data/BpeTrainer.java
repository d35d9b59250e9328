package castalia.workers.data;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.Comparator;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.PriorityQueue;
import java.util.Set;
import java.util.regex.Matcher;
import org.jspecify.annotations.Nullable;

/**
 * Trains a byte-level BPE vocabulary, the same on every machine.
 *
 * <p>Ids: 0 {@value #END_OF_TEXT}, 1 {@value #PADDING}, 2 to 257 the bytes in order of value, then
 * one id per merge. Each merge joins the pair of neighbouring symbols that is most frequent in the
 * words of the text; among equally frequent ones the pair with the smaller left id, then the
 * smaller right id. Words do not cross {@link ByteLevel#WORDS}. A merge that spells a symbol that
 * exists already keeps that symbol's id.
 *
 * <p>Source of the method: Sennrich, Haddow, Birch 2016.
 */
public final class BpeTrainer {
    /** The document separator among the tokens, id 0. */
    public static final String END_OF_TEXT = "<|endoftext|>";

    /** The padding token, id 1. */
    public static final String PADDING = "<|padding|>";

    private static final int FIRST_BYTE = 2;

    private static final class Word {
        int[] symbols;
        final long count;

        Word(int[] symbols, long count) {
            this.symbols = symbols;
            this.count = count;
        }
    }

    private record Candidate(long count, long pair) {}

    /** Most frequent first; a pair is left id * 2^32 + right id, so the smaller comes first. */
    private static final Comparator<Candidate> BEST_FIRST =
            Comparator.comparingLong(Candidate::count).reversed()
                    .thenComparingLong(Candidate::pair);

    private final List<Word> words = new ArrayList<>();
    private final List<String> spelling = new ArrayList<>();
    private final Map<String, Integer> ids = new HashMap<>();
    private final List<String> merges = new ArrayList<>();
    private final Map<Long, Long> counts = new HashMap<>();
    private final Map<Long, Set<Word>> places = new HashMap<>();
    private final PriorityQueue<Candidate> queue = new PriorityQueue<>(BEST_FIRST);

    private BpeTrainer() {}

    /**
     * A trained vocabulary.
     *
     * @param tokens the spelling of each id in {@link ByteLevel}'s characters
     * @param merges pairs of spellings separated by a space, first merge first
     * @param textTokens the length of the training text in tokens
     */
    public record Vocabulary(List<String> tokens, List<String> merges, long textTokens) {
        public Vocabulary {
            tokens = List.copyOf(tokens);
            merges = List.copyOf(merges);
        }

        /** The vocabulary as a Hugging Face {@code tokenizer.json}. */
        public String toJson() {
            return TokenizerJson.write(this);
        }
    }

    /**
     * Trains on documents.
     *
     * @param vocabularySize number of ids, at least 258
     * @throws DataException if the documents hold too few different pairs
     */
    public static Vocabulary train(Iterable<String> documents, int vocabularySize) {
        if (vocabularySize < FIRST_BYTE + 256) {
            throw new IllegalArgumentException("vocabulary of " + vocabularySize
                    + ", the bytes alone need " + (FIRST_BYTE + 256));
        }
        BpeTrainer trainer = new BpeTrainer();
        trainer.start(documents);
        while (trainer.spelling.size() < vocabularySize) {
            trainer.mergeBest(vocabularySize);
        }
        long tokens = 0;
        for (Word word : trainer.words) {
            tokens += word.count * word.symbols.length;
        }
        return new Vocabulary(trainer.spelling, trainer.merges, tokens);
    }

    private void start(Iterable<String> documents) {
        add(END_OF_TEXT);
        add(PADDING);
        for (int b = 0; b < 256; b++) {
            add(String.valueOf(ByteLevel.character(b)));
        }
        Map<String, Long> frequencies = new LinkedHashMap<>();
        for (String document : documents) {
            Matcher matcher = ByteLevel.WORDS.matcher(document);
            while (matcher.find()) {
                frequencies.merge(matcher.group(), 1L, Long::sum);
            }
        }
        frequencies.forEach((text, count) -> {
            int[] symbols = ByteLevel.bytes(text);
            for (int i = 0; i < symbols.length; i++) {
                symbols[i] += FIRST_BYTE;
            }
            words.add(new Word(symbols, count));
        });
        for (Word word : words) {
            countPairs(word, word.count, null);
        }
        counts.forEach((pair, count) -> queue.add(new Candidate(count, pair)));
    }

    private int add(String text) {
        Integer known = ids.putIfAbsent(text, spelling.size());
        if (known != null) {
            return known;
        }
        spelling.add(text);
        return spelling.size() - 1;
    }

    private static long pair(int left, int right) {
        return (long) left << 32 | right;
    }

    /** Adds {@code change} per pair of a word; pairs whose count changed go to {@code changed}. */
    private void countPairs(
            Word word, long change, @Nullable Set<Long> changed) {
        for (int i = 0; i + 1 < word.symbols.length; i++) {
            long pair = pair(word.symbols[i], word.symbols[i + 1]);
            counts.merge(pair, change, Long::sum);
            if (change > 0) {
                places.computeIfAbsent(pair, _ -> new LinkedHashSet<>()).add(word);
            }
            if (changed != null) {
                changed.add(pair);
            }
        }
    }

    private void mergeBest(int vocabularySize) {
        Candidate best = queue.poll();
        if (best == null) {
            throw new DataException("the text gives only " + spelling.size() + " tokens, "
                    + vocabularySize + " were asked for; use more text or a smaller vocabulary");
        }
        if (counts.getOrDefault(best.pair, 0L) != best.count) {
            return; // A newer candidate for this pair is in the queue.
        }
        int left = (int) (best.pair >>> 32);
        int right = (int) best.pair;
        merges.add(spelling.get(left) + " " + spelling.get(right));
        int joined = add(spelling.get(left) + spelling.get(right));
        Set<Long> changed = new LinkedHashSet<>();
        for (Word word : places.getOrDefault(best.pair, Set.of())) {
            int[] merged = merge(word.symbols, left, right, joined);
            if (merged.length < word.symbols.length) {
                countPairs(word, -word.count, changed);
                word.symbols = merged;
                countPairs(word, word.count, changed);
            }
        }
        places.remove(best.pair);
        for (long pair : changed) {
            long count = counts.getOrDefault(pair, 0L);
            if (count > 0) {
                queue.add(new Candidate(count, pair));
            } else {
                counts.remove(pair);
            }
        }
    }

    private static int[] merge(int[] symbols, int left, int right, int joined) {
        int[] merged = new int[symbols.length];
        int length = 0;
        for (int i = 0; i < symbols.length; i++) {
            boolean match =
                    i + 1 < symbols.length && symbols[i] == left && symbols[i + 1] == right;
            merged[length++] = match ? joined : symbols[i];
            if (match) {
                i++;
            }
        }
        return Arrays.copyOf(merged, length);
    }
}
