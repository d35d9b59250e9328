package castalia.workers.data;

import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.Arrays;

/**
 * The checked header of an MMIDIDX index, with the byte offsets of its three arrays.
 *
 * <pre>
 * offset   bytes  content
 * 0        9      magic "MMIDIDX" and two zero bytes
 * 9        8      version, 1
 * 17       1      type code
 * 18       8      N, sequences
 * 26       8      D, entries of the document index
 * 34       4N     sizes in tokens, int32
 * 34+4N    8N     byte offsets in .bin, int64: the sizes summed up, times the token's bytes
 * 34+12N   8D     first sequence of each document, int64, then N
 * </pre>
 *
 * @param sequences N, at least 1
 * @param documentEntries D; 1 (the entry 0 alone) in files that GPT-NeoX merged from others
 * @param tokens the sum of all sizes
 */
record TokenIndex(TokenDtype dtype, long sequences, long documentEntries, long tokens) {
    static final byte[] MAGIC = "MMIDIDX\0\0".getBytes(StandardCharsets.US_ASCII);
    static final long VERSION = 1;
    static final long HEADER_BYTES = 34;
    private static final String REMEDY = "; copy the file again or make it again with 'data"
            + " prepare'";

    long sizeAt(long sequence) {
        return HEADER_BYTES + 4 * sequence;
    }

    long pointerAt(long sequence) {
        return HEADER_BYTES + 4 * sequences + 8 * sequence;
    }

    long documentAt(long document) {
        return HEADER_BYTES + 12 * sequences + 8 * document;
    }

    /** Reads and checks everything an index says. */
    static TokenIndex read(Path path, MemorySegment index) {
        long bytes = index.byteSize();
        if (bytes < HEADER_BYTES) {
            throw refused(path, "truncated: ends at byte " + bytes + ", the header alone needs "
                    + HEADER_BYTES);
        }
        checkMagic(path, index);
        long version = index.get(TokenDtype.LONG, 9);
        if (version != VERSION) {
            throw refused(path, "version " + Long.toUnsignedString(version) + " at byte 9, only "
                    + VERSION + " is known");
        }
        TokenDtype dtype = dtype(path, index.get(ValueLayout.JAVA_BYTE, 17));
        long sequences = index.get(TokenDtype.LONG, 18);
        long entries = index.get(TokenDtype.LONG, 26);
        long room = bytes - HEADER_BYTES;
        if (sequences < 1) {
            throw refused(path, sequences == 0 ? "holds no sequences (byte 18)"
                    : "sequence count " + Long.toUnsignedString(sequences) + " at byte 18");
        }
        if (sequences > room / 12 || entries < 1 || entries > room / 8
                || 12 * sequences + 8 * entries != room) {
            throw refused(path, "truncated or corrupt: " + bytes + " bytes do not hold the "
                    + Long.toUnsignedString(sequences) + " sequences and "
                    + Long.toUnsignedString(entries) + " document entries its header names at byte 18");
        }
        TokenIndex header = new TokenIndex(dtype, sequences, entries, 0);
        long tokens = header.checkSizes(path, index);
        header.checkDocuments(path, index);
        return new TokenIndex(dtype, sequences, entries, tokens);
    }

    /** Refuses tokens that are not as many as this index describes. */
    void requireTokens(Path path, TokenBytes bin) {
        if (tokens * dtype.bytes() != bin.bytes()) {
            throw refused(bin.path(), (bin.partCount() == 1
                    ? "truncated or of another data set: "
                    : "the " + bin.partCount() + " parts are truncated or of another data set: ")
                    + bin.bytes() + " bytes, " + path.getFileName() + " describes "
                    + tokens * dtype.bytes());
        }
    }

    private static void checkMagic(Path path, MemorySegment index) {
        byte[] magic = index.asSlice(0, MAGIC.length).toArray(ValueLayout.JAVA_BYTE);
        if (!Arrays.equals(magic, MAGIC)) {
            boolean old = new String(magic, StandardCharsets.ISO_8859_1).startsWith("TNTIDX");
            throw refused(path, old ? "is in the older TNTIDX format, which is not supported"
                    : "does not start with MMIDIDX at byte 0, so it is not a token index");
        }
    }

    private static TokenDtype dtype(Path path, byte code) {
        for (TokenDtype dtype : TokenDtype.values()) {
            if (dtype.code() == code) {
                return dtype;
            }
        }
        throw refused(path, "type code " + (code & 0xff) + " at byte 17, known are 1 to 8");
    }

    private long checkSizes(Path path, MemorySegment index) {
        long tokens = 0;
        for (long i = 0; i < sequences; i++) {
            int size = index.get(TokenDtype.INT, sizeAt(i));
            if (size < 0) {
                throw refused(path, "sequence " + i + " has size " + size + " at byte "
                        + sizeAt(i) + ", at least 0 is needed");
            }
            long pointer = index.get(TokenDtype.LONG, pointerAt(i));
            if (pointer != tokens * dtype.bytes()) {
                throw refused(path, "sequence " + i + " has offset " + pointer + " at byte "
                        + pointerAt(i) + ", the sizes before it add up to "
                        + tokens * dtype.bytes());
            }
            tokens += size;
        }
        return tokens;
    }

    private void checkDocuments(Path path, MemorySegment index) {
        long previous = 0;
        for (long i = 0; i < documentEntries; i++) {
            long start = index.get(TokenDtype.LONG, documentAt(i));
            if (start < previous || start > sequences || (i == 0 && start != 0)) {
                throw refused(path, "document entry " + i + " is " + start + " at byte "
                        + documentAt(i) + ", expected from " + previous + " to "
                        + (i == 0 ? 0 : sequences));
            }
            previous = start;
        }
        // GPT-NeoX's own merge of several files leaves the single entry 0 and nothing reads it.
        if (documentEntries > 1 && previous != sequences) {
            throw refused(path, "the document index ends at sequence " + previous + " of "
                    + sequences + " at byte " + documentAt(documentEntries - 1));
        }
    }

    private static DataException refused(Path path, String what) {
        return new DataException(path + ": " + what + REMEDY);
    }
}
