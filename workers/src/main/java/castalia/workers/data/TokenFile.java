package castalia.workers.data;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.file.Path;
import java.util.Objects;

/**
 * A tokenised data set in GPT-NeoX's MMIDIDX format, memory-mapped: {@code PREFIX.idx} holds the
 * sequence lengths, {@code PREFIX.bin} the tokens, one after another. Where there is no {@code
 * PREFIX.bin}, its parts {@code PREFIX-00000-of-00082.bin} and so on are read in their place.
 *
 * <p>{@link #open} reads the whole index once and refuses a pair of files that is not consistent,
 * so that a reader never meets a bad length later. All methods may be called by several threads.
 * The files must not change while they are open; a read that fails because they did is a {@link
 * DataException}.
 *
 * <p>Source of the format: GPT-NeoX v1.0, {@code megatron/data/indexed_dataset.py}.
 */
public final class TokenFile implements SequenceSizes, AutoCloseable {
    private final Path prefix;
    private final Arena arena;
    private final MemorySegment index;
    private final TokenBytes bin;
    private final TokenIndex header;
    private final DigestStore digests;

    private TokenFile(Path prefix, Arena arena, MemorySegment index, TokenBytes bin,
            TokenIndex header, DigestStore digests) {
        this.prefix = prefix;
        this.arena = arena;
        this.index = index;
        this.bin = bin;
        this.header = header;
        this.digests = digests;
    }

    /**
     * Opens and checks {@code prefix.idx} and {@code prefix.bin}.
     *
     * @param prefix the path of both files without extension
     * @throws DataException if a file is missing, truncated or inconsistent
     */
    public static TokenFile open(Path prefix) {
        return open(prefix, DigestStore.none());
    }

    /**
     * As the other.
     *
     * @param digests where hashes of large files are remembered
     */
    @SuppressWarnings("MustBeClosedChecker") // the file owns the arena and closes it
    public static TokenFile open(Path prefix, DigestStore digests) {
        Path indexPath = indexPath(prefix);
        Arena arena = Arena.ofShared();
        try {
            MemorySegment index = Mapped.file(indexPath, arena);
            TokenBytes bin = TokenBytes.map(prefix, arena);
            TokenIndex header = TokenIndex.read(indexPath, index);
            header.requireTokens(indexPath, bin);
            return new TokenFile(prefix, arena, index, bin, header, digests);
        } catch (RuntimeException e) {
            arena.close();
            throw e;
        } catch (InternalError e) {
            arena.close();
            throw new DataException(
                    "token file " + prefix + ": cannot be read; it shrank while it was opened, or"
                            + " the storage failed. Check the storage and try again",
                    e);
        }
    }

    /** The index file of a prefix. */
    public static Path indexPath(Path prefix) {
        return withExtension(prefix, ".idx");
    }

    /** The token file of a prefix. */
    public static Path binPath(Path prefix) {
        return withExtension(prefix, ".bin");
    }

    private static Path withExtension(Path prefix, String extension) {
        Path name = prefix.getFileName();
        if (name == null) {
            throw new DataException("token file '" + prefix + "': not a file name prefix");
        }
        return prefix.resolveSibling(name + extension);
    }

    /** The path of both files without extension. */
    public Path prefix() {
        return prefix;
    }

    /** The last part of the prefix. */
    public String name() {
        return Objects.requireNonNull(prefix.getFileName()).toString();
    }

    /** The element type of the tokens. */
    public TokenDtype dtype() {
        return header.dtype();
    }

    /** Number of tokens of all sequences. */
    public long tokens() {
        return header.tokens();
    }

    @Override
    public long sequences() {
        return header.sequences();
    }

    @Override
    public int size(long sequence) {
        Objects.checkIndex(sequence, header.sequences());
        return index.get(TokenDtype.INT, header.sizeAt(sequence));
    }

    /** Byte offset of the first token of a sequence in the {@code .bin} file. */
    public long pointer(long sequence) {
        Objects.checkIndex(sequence, header.sequences());
        return index.get(TokenDtype.LONG, header.pointerAt(sequence));
    }

    /** Number of entries of the document index: documents + 1, or 1 where it was not kept. */
    public long documentIndexLength() {
        return header.documentEntries();
    }

    /**
     * Copies {@code count} tokens of a sequence, from its token {@code offset} on, to {@code
     * target} as native int32 from byte {@code targetByte} on. Allocates nothing.
     */
    public void copy(
            long sequence, int offset, int count, MemorySegment target, long targetByte) {
        Objects.checkFromIndexSize(offset, count, size(sequence));
        Objects.checkFromIndexSize(targetByte, 4L * count, target.byteSize());
        long from = pointer(sequence) + (long) offset * header.dtype().bytes();
        int copied;
        try {
            copied = bin.toInt32(header.dtype(), from, count, target, targetByte);
        } catch (InternalError e) {
            throw new DataException(
                    bin.fileOf(from) + ": cannot be read around byte " + from + " of the tokens;"
                            + " the file shrank while it was in use, or the storage failed."
                            + " Restore the file and resume",
                    e);
        }
        if (copied < count) {
            throw new DataException(describe(sequence, offset + copied) + " is not a token id;"
                    + " prepare the data again with integer ids");
        }
    }

    /** Says where a token stands and what it is: file, byte, sequence, position, value. */
    String describe(long sequence, int offset) {
        long at = pointer(sequence) + (long) offset * header.dtype().bytes();
        return bin.describe(header.dtype(), at,
                " (sequence " + sequence + ", position " + offset + ")") + ", which";
    }

    /**
     * What the run specification records of both files. Reads them whole, but for tokens whose
     * hash is remembered.
     */
    public DataDigest digest() {
        return new DataDigest(
                name(),
                tokens(),
                sequences(),
                dtype(),
                Sha256.hex(index, indexPath(prefix)),
                digests.sha256(bin));
    }

    @Override
    public void close() {
        arena.close();
    }

    /** Reads one token; for tools and tests. */
    public int token(long sequence, int offset) {
        try (Arena one = Arena.ofConfined()) {
            MemorySegment cell = one.allocate(4, 4);
            copy(sequence, offset, 1, cell, 0);
            return cell.get(ValueLayout.JAVA_INT, 0);
        }
    }
}
