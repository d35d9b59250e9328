package castalia.workers.data.prepare;

import castalia.workers.data.DataException;
import castalia.workers.data.PartialTokenFile;
import castalia.workers.data.PrepareJournal;
import castalia.workers.data.Sha256;
import castalia.workers.data.TextProgress;
import castalia.workers.data.TokenDtype;
import castalia.workers.data.Tokenizer;
import castalia.workers.data.text.DocumentBlock;
import castalia.workers.data.text.DocumentReader;
import castalia.workers.data.text.OrderedWork;
import castalia.workers.data.text.RawDocument;
import castalia.workers.data.text.TextInputs;
import castalia.workers.data.text.TextOptions;
import java.nio.file.Path;
import java.security.MessageDigest;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Optional;

/**
 * Makes a token file from texts: every document becomes one sequence of tokens.
 *
 * <p>Documents are tokenised by several threads and written in the order of the inputs, so the
 * files do not depend on the number of threads. Until they are whole they lie in the folder {@code
 * PREFIX.partial}, with a journal of how far they are; what was interrupted, or stopped at a
 * document that cannot be used, goes on there when it is called again with the same inputs and
 * options. Inputs that were used up already must not have changed meanwhile.
 */
public final class TextPreparer {
    /** The journal is written whenever so much text was added; about every half minute. */
    private static final long JOURNAL_BYTES = 64 << 20;

    private static final long JOURNAL_NANOS = 5_000_000_000L;

    /**
     * How text becomes tokens.
     *
     * @param text how files become documents
     * @param appendEndOfDocument whether each document ends with the tokenizer's end-of-document id
     * @param threads how many tokenise
     * @param restart whether what an interrupted run left is thrown away
     */
    public record Options(
            TextOptions text, boolean appendEndOfDocument, int threads, boolean restart) {
        /** All processors; goes on where an interrupted run stopped. */
        public Options(Optional<String> separator, boolean appendEndOfDocument) {
            this(new TextOptions(separator, TextOptions.PLAIN.field(), Optional.empty()),
                    appendEndOfDocument, Runtime.getRuntime().availableProcessors(), false);
        }
    }

    /**
     * What was written.
     *
     * @param files files and entries of archives that were read
     * @param bytes of text
     * @param continuedAt documents that an earlier, interrupted run had done already
     */
    public record Summary(
            long files,
            long documents,
            long bytes,
            long tokens,
            TokenDtype dtype,
            long continuedAt) {}

    /** Tokens of a block: those of document d are {@code tokens.get(d)}. */
    private record Encoded(DocumentBlock block, List<int[]> tokens, long textBytes) {}

    private final TextInputs inputs;
    private final Tokenizer tokenizer;
    private final Options options;
    private final PartialTokenFile output;
    private final TextProgress progress;
    private final long allBytes;
    private final long resumedBytes;
    private final long resumedTokens;
    private final MessageDigest partDigest = Sha256.start();
    private int part;
    private long partDocuments;
    private long documents;
    private long bytes;
    private long journalBytes;
    private long journalNanos = System.nanoTime();

    private TextPreparer(
            TextInputs inputs,
            Tokenizer tokenizer,
            Options options,
            PartialTokenFile output,
            TextProgress progress) {
        this.inputs = inputs;
        this.tokenizer = tokenizer;
        this.options = options;
        this.output = output;
        this.progress = progress;
        this.allBytes = inputs.bytes();
        PrepareJournal start = output.journal();
        this.part = start.part();
        this.documents = start.documents();
        this.bytes = start.textBytes();
        this.journalBytes = bytes;
        this.resumedBytes = bytes;
        this.resumedTokens = start.tokens();
    }

    /**
     * Writes {@code prefix.idx} and {@code prefix.bin}. When it fails there is nothing under these
     * names.
     *
     * @param paths text files, JSON lines, archives and folders, in order; see {@link TextInputs}
     * @throws DataException if an input is missing, empty or broken, or the output cannot be
     *     written
     */
    public static Summary prepare(
            List<Path> paths,
            Tokenizer tokenizer,
            Options options,
            Path prefix,
            TextProgress progress) {
        TextInputs inputs = TextInputs.of(paths, options.text());
        TokenDtype dtype = TokenDtype.forVocabulary(tokenizer.vocabularySize());
        PrepareJournal.Key key = key(inputs, tokenizer, options);
        try (PartialTokenFile output =
                PartialTokenFile.open(prefix, dtype, key, options.restart())) {
            long continuedAt = output.journal().documents();
            TextPreparer preparer =
                    new TextPreparer(inputs, tokenizer, options, output, progress);
            if (!output.journal().complete()) {
                preparer.run();
            }
            output.finish();
            return new Summary(inputs.parts().size(), preparer.documents, preparer.bytes,
                    output.tokens(), dtype, continuedAt);
        }
    }

    private static PrepareJournal.Key key(
            TextInputs inputs, Tokenizer tokenizer, Options options) {
        return new PrepareJournal.Key(
                List.of("tokenizer " + tokenizer.fingerprint(),
                        "append-eod " + options.appendEndOfDocument(),
                        "separator " + options.text().separator().orElse(""),
                        "field " + options.text().field(),
                        "match " + options.text().match().orElse("")),
                inputs.parts().stream()
                        .map(part -> part.identity().replaceAll("\\R", " "))
                        .toList());
    }

    /** As the other, and tells nobody how far it is. */
    public static Summary prepare(
            List<Path> paths, Tokenizer tokenizer, Options options, Path prefix) {
        return prepare(paths, tokenizer, options, prefix, TextProgress.NONE);
    }

    private void run() {
        try (DocumentReader reader = inputs.open(part)) {
            skipWhatIsDone(reader);
            OrderedWork.run(reader, options.threads(), this::encode, this::write);
        } catch (DataException e) {
            // After a failed write nobody knows what is in the files; the last journal does.
            if (!output.broken()) {
                save(false);
            }
            throw e;
        }
        save(true);
    }

    /** Reads the documents of the first part that are done already, and makes sure they are. */
    private void skipWhatIsDone(DocumentReader reader) {
        PrepareJournal start = output.journal();
        for (long d = 0; d < start.partDocuments(); d++) {
            RawDocument document = reader.next();
            if (document == null || document.part() != part) {
                throw changed();
            }
            note(document);
        }
        if (!digest().equals(start.partSha256())) {
            throw changed();
        }
    }

    private DataException changed() {
        return new DataException(inputs.parts().get(part).name() + ": has changed since "
                + output.folder() + " was begun; restore the file, or begin anew with --restart");
    }

    private String digest() {
        try {
            return Sha256.hex((MessageDigest) partDigest.clone());
        } catch (CloneNotSupportedException e) {
            throw new IllegalStateException("the JDK's SHA-256 can be copied", e);
        }
    }

    private void note(RawDocument document) {
        if (document.part() != part) {
            part = document.part();
            partDocuments = 0;
            partDigest.reset();
        }
        partDocuments++;
        partDigest.update(document.content());
    }

    private Encoded encode(DocumentBlock block) {
        List<int[]> tokens = new ArrayList<>();
        long textBytes = 0;
        for (RawDocument document : block.documents()) {
            String text = inputs.text(document);
            textBytes += inputs.isJson(document) ? utf8Bytes(text) : document.content().length;
            int[] ids = tokenizer.encode(text);
            if (options.appendEndOfDocument()) {
                ids = Arrays.copyOf(ids, ids.length + 1);
                ids[ids.length - 1] = tokenizer.endOfDocument();
            }
            tokens.add(ids);
        }
        return new Encoded(block, tokens, textBytes);
    }

    private static long utf8Bytes(String text) {
        long bytes = text.length();
        for (int i = 0; i < text.length(); i++) {
            char c = text.charAt(i);
            // A pair of surrogates is four bytes.
            bytes += c < 0x80 ? 0 : c < 0x800 || Character.isSurrogate(c) ? 1 : 2;
        }
        return bytes;
    }

    private void write(Encoded encoded) {
        for (int d = 0; d < encoded.tokens().size(); d++) {
            RawDocument document = encoded.block().documents().get(d);
            note(document);
            // A normaliser may leave nothing of a document, a JSON line have an empty text.
            int[] ids = encoded.tokens().get(d);
            if (ids.length > 0) {
                output.add(ids);
                documents++;
            }
        }
        bytes += encoded.textBytes();
        long now = System.nanoTime();
        if (bytes - journalBytes >= JOURNAL_BYTES || now - journalNanos >= JOURNAL_NANOS) {
            save(false);
        }
        progress.show(encoded.block().position(), allBytes, bytes - resumedBytes,
                output.tokens() - resumedTokens);
    }

    private void save(boolean complete) {
        if (documents == 0 && !complete) {
            return;
        }
        output.save(new PrepareJournal(complete, part, partDocuments, digest(), documents, bytes,
                output.sequences(), output.tokens()));
        journalBytes = bytes;
        journalNanos = System.nanoTime();
    }
}
