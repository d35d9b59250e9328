package castalia.workers.data;

import java.nio.file.Path;
import java.util.Optional;

/** Text to token ids and back. Implementations may be called by several threads. */
public interface Tokenizer extends AutoCloseable {
    /**
     * The ids of a text, with nothing added before or after. The spelling of an added token, such
     * as {@code <|endoftext|>}, becomes that token.
     */
    int[] encode(String text);

    /** The text of ids; ids outside the vocabulary give nothing, added tokens their spelling. */
    String decode(int[] ids);

    /** One more than the largest id, added tokens included. */
    int vocabularySize();

    /** The id that ends a document, {@code <|endoftext|>}. */
    int endOfDocument();

    /**
     * The bytes of every token by id, if the text of ids is nothing but their bytes one after
     * another (byte-level vocabularies); null at ids that give nothing. Empty for others.
     */
    default Optional<byte[][]> spellings() {
        return Optional.empty();
    }

    /** Differs where ids may differ: the SHA-256 of the file, and the library's version. */
    String fingerprint();

    @Override
    void close();

    /**
     * Loads a Hugging Face {@code tokenizer.json}.
     *
     * @throws DataException if the file is missing, no tokenizer, or has no {@code <|endoftext|>}
     */
    static Tokenizer load(Path file) {
        return HuggingFaceTokenizer.load(file);
    }
}
