package castalia.workers.data;

import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.channels.FileChannel;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.nio.file.StandardOpenOption;
import java.util.Arrays;
import java.util.List;
import java.util.Objects;

/**
 * Writes a token file pair in GPT-NeoX's MMIDIDX format, byte for byte what its own builder writes
 * for the same sequences.
 *
 * <p>Both files are written beside their final place under temporary names; {@link #finish} syncs
 * and renames them, the tokens first, the index last, and syncs the folder. {@link #close} without
 * {@code finish} removes the temporary files, so that a failed run leaves nothing. An index that
 * exists already is never overwritten. Not for several threads.
 */
public final class TokenFileWriter implements AutoCloseable {
    private static final int BUFFER_BYTES = 1 << 20;

    private final Path prefix;
    private final Path binPartial;
    private final Path indexPartial;
    private final TokenDtype dtype;
    private final int vocabularySize;
    private final FileChannel bin;
    private final ByteBuffer buffer =
            ByteBuffer.allocateDirect(BUFFER_BYTES).order(ByteOrder.LITTLE_ENDIAN);
    private int[] sizes = new int[1024];
    private int sequences;
    private long[] documents = new long[1024];
    private int documentEntries = 1;
    private long tokens;
    private boolean finished;

    private TokenFileWriter(Path prefix, int vocabularySize) throws IOException {
        this.prefix = prefix;
        this.vocabularySize = vocabularySize;
        this.dtype = TokenDtype.forVocabulary(vocabularySize);
        this.binPartial = partial(TokenFile.binPath(prefix));
        this.indexPartial = partial(TokenFile.indexPath(prefix));
        Path folder = folder(prefix);
        Files.createDirectories(folder);
        this.bin = FileChannel.open(binPartial, StandardOpenOption.CREATE,
                StandardOpenOption.TRUNCATE_EXISTING, StandardOpenOption.WRITE);
    }

    /**
     * Starts a pair {@code prefix.idx}, {@code prefix.bin} for ids in [0, vocabularySize).
     *
     * @throws DataException if one of them exists already or the folder cannot be written
     */
    public static TokenFileWriter create(Path prefix, int vocabularySize) {
        if (vocabularySize < 1) {
            throw new IllegalArgumentException("vocabulary of " + vocabularySize + " ids");
        }
        for (Path file : List.of(TokenFile.indexPath(prefix), TokenFile.binPath(prefix))) {
            if (Files.exists(file)) {
                throw new DataException(
                        file + ": exists already; remove it or choose another prefix");
            }
        }
        try {
            return new TokenFileWriter(prefix, vocabularySize);
        } catch (IOException e) {
            throw failed(prefix, e);
        }
    }

    /** Appends one sequence of ids {@code tokens[from, to)}, at least one. */
    public void addSequence(int[] tokens, int from, int to) {
        Objects.checkFromToIndex(from, to, tokens.length);
        if (from == to) {
            throw new IllegalArgumentException("a sequence needs at least one token");
        }
        if (sequences == Integer.MAX_VALUE - 8) {
            throw new DataException(prefix + ": more than " + sequences + " sequences");
        }
        try {
            for (int i = from; i < to; i++) {
                int token = tokens[i];
                if (token < 0 || token >= vocabularySize) {
                    throw new DataException(prefix + ": token id " + token + " in sequence "
                            + sequences + ", ids are below " + vocabularySize
                            + "; use the tokenizer the vocabulary size was taken from");
                }
                if (buffer.remaining() < dtype.bytes()) {
                    drain(bin);
                }
                put(token);
            }
        } catch (IOException e) {
            throw failed(TokenFile.binPath(prefix), e);
        }
        if (sequences == sizes.length) {
            sizes = Arrays.copyOf(sizes, grown(sizes.length));
        }
        sizes[sequences++] = to - from;
        this.tokens += to - from;
    }

    /** Ends a document after the last sequence. */
    public void endDocument() {
        if (documentEntries == documents.length) {
            documents = Arrays.copyOf(documents, grown(documents.length));
        }
        documents[documentEntries++] = sequences;
    }

    /** Appends a document of one sequence, as GPT-NeoX's {@code preprocess_data.py} does. */
    public void addDocument(int[] tokens, int length) {
        addSequence(tokens, 0, length);
        endDocument();
    }

    /** Tokens written so far. */
    public long tokens() {
        return tokens;
    }

    /** Sequences written so far. */
    public long sequences() {
        return sequences;
    }

    /** Writes the index and puts both files in place; they are on disk when it returns. */
    public void finish() {
        if (sequences == 0) {
            throw new DataException(prefix + ": nothing to write, no text was found");
        }
        if (documents[documentEntries - 1] != sequences) {
            throw new IllegalStateException("the last document was not ended");
        }
        try {
            drain(bin);
            bin.force(true);
            bin.close();
            writeIndex();
            replace(binPartial, TokenFile.binPath(prefix));
            replace(indexPartial, TokenFile.indexPath(prefix));
            try (FileChannel folder =
                    FileChannel.open(folder(prefix), StandardOpenOption.READ)) {
                folder.force(true);
            }
        } catch (IOException e) {
            throw failed(prefix, e);
        }
        finished = true;
    }

    private void writeIndex() throws IOException {
        try (FileChannel channel = FileChannel.open(indexPartial, StandardOpenOption.CREATE,
                StandardOpenOption.TRUNCATE_EXISTING, StandardOpenOption.WRITE)) {
            buffer.put(TokenIndex.MAGIC).putLong(TokenIndex.VERSION).put((byte) dtype.code());
            buffer.putLong(sequences).putLong(documentEntries);
            for (int i = 0; i < sequences; i++) {
                room(channel).putInt(sizes[i]);
            }
            long pointer = 0;
            for (int i = 0; i < sequences; i++) {
                room(channel).putLong(pointer);
                pointer += (long) sizes[i] * dtype.bytes();
            }
            for (int i = 0; i < documentEntries; i++) {
                room(channel).putLong(documents[i]);
            }
            drain(channel);
            channel.force(true);
        }
    }

    private ByteBuffer room(FileChannel channel) throws IOException {
        if (buffer.remaining() < Long.BYTES) {
            drain(channel);
        }
        return buffer;
    }

    private void put(int token) {
        if (dtype == TokenDtype.UINT16) {
            buffer.putShort((short) token);
        } else {
            buffer.putInt(token);
        }
    }

    private void drain(FileChannel channel) throws IOException {
        buffer.flip();
        while (buffer.hasRemaining()) {
            channel.write(buffer);
        }
        buffer.clear();
    }

    private static int grown(int length) {
        return (int) Math.min(Integer.MAX_VALUE - 8L, length * 2L);
    }

    private static Path folder(Path prefix) {
        return Objects.requireNonNull(prefix.toAbsolutePath().getParent());
    }

    private static Path partial(Path path) {
        return path.resolveSibling(
                path.getFileName() + ".partial-" + ProcessHandle.current().pid());
    }

    private static void replace(Path from, Path to) throws IOException {
        Files.move(from, to, StandardCopyOption.ATOMIC_MOVE);
    }

    private static DataException failed(Path path, IOException cause) {
        return new DataException(
                path + ": cannot be written (" + cause + "); check the folder's rights and the"
                        + " free space, then start again",
                cause);
    }

    @Override
    public void close() {
        try {
            bin.close();
            if (!finished) {
                Files.deleteIfExists(binPartial);
                Files.deleteIfExists(indexPartial);
            }
        } catch (IOException e) {
            throw failed(binPartial, e);
        }
    }
}
