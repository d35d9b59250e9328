package castalia.workers.data;

import ai.djl.huggingface.tokenizers.jni.TokenizersLibrary;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.util.Optional;
import java.util.concurrent.locks.ReentrantReadWriteLock;

/**
 * A {@code tokenizer.json} run by Hugging Face's tokenizers library, from the file alone: nothing
 * is fetched. Where {@link WordEncoder} knows the kind, the library is only asked for words.
 */
final class HuggingFaceTokenizer implements Tokenizer {
    private static final long MAXIMUM_BYTES = 64L << 20;
    private static final String REMEDY = TokenizerVocabulary.REMEDY;

    private final Path file;
    private final TokenizersLibrary library;
    private final long handle;
    private final TokenizerVocabulary vocabulary;
    private final String fingerprint;
    private final Optional<byte[][]> spellings;
    private final Optional<WordEncoder> words;
    private final ReentrantReadWriteLock lock = new ReentrantReadWriteLock();
    private boolean closed;

    private HuggingFaceTokenizer(
            Path file,
            TokenizersLibrary library,
            long handle,
            TokenizerVocabulary vocabulary,
            String fingerprint,
            Optional<byte[][]> spellings) {
        this.file = file;
        this.library = library;
        this.handle = handle;
        this.vocabulary = vocabulary;
        this.fingerprint = fingerprint;
        this.spellings = spellings;
        this.words = WordEncoder.of(vocabulary, this::asked);
    }

    static Tokenizer load(Path file) {
        String json = read(file);
        TokenizerVocabulary vocabulary = TokenizerVocabulary.read(file, json);
        TokenizersLibrary library = TokenizersNative.library();
        long handle = create(library, file, json);
        return new HuggingFaceTokenizer(file, library, handle, vocabulary,
                Sha256.ofText(json) + " tokenizers " + TokenizersNative.version(),
                spellings(file, json, vocabulary));
    }

    /** Only where the decoder is the byte-level one alone; a table is not larger than its file. */
    private static Optional<byte[][]> spellings(
            Path file, String json, TokenizerVocabulary vocabulary) {
        boolean plain = vocabulary.part("decoder").path("type").asText().equals("ByteLevel")
                && vocabulary.bpe()
                && vocabulary.tokens() > 0
                && vocabulary.size() <= 2L * (vocabulary.tokens() + vocabulary.added().size());
        if (!plain) {
            return Optional.empty();
        }
        byte[][] table = new byte[vocabulary.size()][];
        TokenizerVocabulary.read(file, json, (token, id) -> {
            byte[] bytes = ByteLevel.spelled(token);
            table[id] = bytes != null ? bytes : token.getBytes(StandardCharsets.UTF_8);
        });
        for (TokenizerVocabulary.Added added : vocabulary.added()) {
            table[added.id()] = added.content().getBytes(StandardCharsets.UTF_8);
        }
        return Optional.of(table);
    }

    private static String read(Path file) {
        try {
            long bytes = Files.size(file);
            if (bytes > MAXIMUM_BYTES) {
                throw new DataException(file + ": " + bytes + " bytes, a tokenizer.json has at most "
                        + MAXIMUM_BYTES + REMEDY);
            }
            return Files.readString(file, StandardCharsets.UTF_8);
        } catch (NoSuchFileException e) {
            throw new DataException(file + ": no such file" + REMEDY, e);
        } catch (IOException e) {
            throw new DataException(file + ": cannot be read (" + e + ")" + REMEDY, e);
        }
    }

    private static long create(TokenizersLibrary library, Path file, String json) {
        try {
            long handle = library.createTokenizerFromString(json);
            library.disableTruncation(handle);
            library.disablePadding(handle);
            return handle;
        } catch (RuntimeException e) {
            throw new DataException(file + ": is no tokenizer ("
                    + String.valueOf(e.getMessage()).lines().findFirst().orElse("no reason given")
                    + ")" + REMEDY, e);
        }
    }

    @Override
    public int[] encode(String text) {
        lock.readLock().lock();
        try {
            checkOpen();
            return words.isPresent() ? words.get().encode(text) : asked(text);
        } catch (RuntimeException e) {
            throw unable("encode", e);
        } finally {
            lock.readLock().unlock();
        }
    }

    /** As {@link #encode}, by the library at once. */
    int[] encodeWhole(String text) {
        lock.readLock().lock();
        try {
            checkOpen();
            return asked(text);
        } finally {
            lock.readLock().unlock();
        }
    }

    /** For callers that hold the lock. */
    private int[] asked(String text) {
        long encoding = library.encode(handle, text, false);
        try {
            long[] ids = library.getTokenIds(encoding);
            int[] tokens = new int[ids.length];
            for (int i = 0; i < ids.length; i++) {
                tokens[i] = Math.toIntExact(ids[i]);
            }
            return tokens;
        } finally {
            library.deleteEncoding(encoding);
        }
    }

    @Override
    public String decode(int[] ids) {
        long[] wide = new long[ids.length];
        for (int i = 0; i < ids.length; i++) {
            wide[i] = ids[i];
        }
        lock.readLock().lock();
        try {
            checkOpen();
            return library.decode(handle, wide, false);
        } catch (RuntimeException e) {
            throw unable("decode", e);
        } finally {
            lock.readLock().unlock();
        }
    }

    private RuntimeException unable(String what, RuntimeException e) {
        if (closed) {
            return e;
        }
        return new DataException(file + ": cannot " + what + " ("
                + String.valueOf(e.getMessage()).lines().findFirst().orElse("no reason given")
                + ")" + REMEDY, e);
    }

    @Override
    public Optional<byte[][]> spellings() {
        return spellings;
    }

    @Override
    public int vocabularySize() {
        return vocabulary.size();
    }

    @Override
    public int endOfDocument() {
        return vocabulary.endOfDocument();
    }

    @Override
    public String fingerprint() {
        return fingerprint;
    }

    private void checkOpen() {
        if (closed) {
            throw new IllegalStateException("the tokenizer is closed");
        }
    }

    @Override
    public void close() {
        lock.writeLock().lock();
        try {
            if (!closed) {
                closed = true;
                library.deleteTokenizer(handle);
            }
        } finally {
            lock.writeLock().unlock();
        }
    }
}
