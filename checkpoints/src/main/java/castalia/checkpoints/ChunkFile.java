package castalia.checkpoints;

import java.lang.foreign.MemorySegment;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.file.Path;
import java.security.MessageDigest;
import java.util.Arrays;
import java.util.HexFormat;
import java.util.zip.CRC32C;
import org.jspecify.annotations.Nullable;

/**
 * The format of a chunk file, little-endian: magic (8 bytes), format version, elements, bytes per
 * block, blocks (32 bits each), the CRC32C of each block of the payload, the CRC32C of all before;
 * zeros up to a multiple of 64; then the payload: fp32 weights, first moments, second moments.
 */
final class ChunkFile {

    static final int BLOCK_BYTES = 64 << 10;
    /** Bytes of payload per element. */
    static final int BYTES_PER_ELEMENT = 12;

    private static final int FORMAT = 1;
    private static final byte[] MAGIC = {'C', 'A', 'S', 'T', 'C', 'H', 'N', 'K'};
    private static final int FIXED = MAGIC.length + 4 * Integer.BYTES;
    private static final int ALIGNMENT = 64;

    private ChunkFile() {}

    static int blocks(int elements) {
        return Math.toIntExact(
                ((long) elements * BYTES_PER_ELEMENT + BLOCK_BYTES - 1) / BLOCK_BYTES);
    }

    static int headerBytes(int elements) {
        int bytes = FIXED + (blocks(elements) + 1) * Integer.BYTES;
        return (bytes + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
    }

    /** Bytes of a file. */
    static long fileBytes(int elements) {
        return headerBytes(elements) + (long) elements * BYTES_PER_ELEMENT;
    }

    static byte[] header(int elements, int[] blockSums) {
        ByteBuffer header = ByteBuffer.allocate(headerBytes(elements))
                .order(ByteOrder.LITTLE_ENDIAN);
        header.put(MAGIC).putInt(FORMAT).putInt(elements).putInt(BLOCK_BYTES)
                .putInt(blockSums.length);
        for (int sum : blockSums) {
            header.putInt(sum);
        }
        CRC32C crc = new CRC32C();
        crc.update(header.duplicate().flip());
        header.putInt((int) crc.getValue());
        return header.array();
    }

    /**
     * Checks a header and returns the sums of the blocks.
     *
     * @param header {@link #headerBytes} bytes for the expected number of elements
     */
    static int[] blockSums(Path file, byte[] header, int elements) throws DamagedFileException {
        ByteBuffer bytes = ByteBuffer.wrap(header).order(ByteOrder.LITTLE_ENDIAN);
        byte[] magic = new byte[MAGIC.length];
        bytes.get(magic);
        if (!Arrays.equals(magic, MAGIC)) {
            throw new DamagedFileException(file, 0, "no chunk file");
        }
        int format = bytes.getInt();
        int sumsEnd = FIXED + blocks(elements) * Integer.BYTES;
        CRC32C crc = new CRC32C();
        crc.update(header, 0, sumsEnd);
        boolean intact = bytes.getInt(sumsEnd) == (int) crc.getValue();
        for (int i = sumsEnd + Integer.BYTES; i < header.length; i++) {
            intact &= header[i] == 0;
        }
        if (!intact) {
            throw new DamagedFileException(file, MAGIC.length, "the chunk's header is damaged");
        }
        if (format != FORMAT) {
            throw new DamagedFileException(file, MAGIC.length, "the chunk has format " + format
                    + "; this build reads format " + FORMAT);
        }
        int[] expected = {elements, BLOCK_BYTES, blocks(elements)};
        for (int value : expected) {
            if (bytes.getInt() != value) {
                throw new DamagedFileException(
                        file, bytes.position() - Integer.BYTES, "the chunk's header does not fit a"
                                + " chunk of " + elements + " elements");
            }
        }
        int[] sums = new int[blocks(elements)];
        for (int i = 0; i < sums.length; i++) {
            sums[i] = bytes.getInt();
        }
        return sums;
    }

    /** Sums and, where wanted, the hash of a payload that comes piece by piece. */
    static final class Sums {

        private final CRC32C crc = new CRC32C();
        private final @Nullable MessageDigest hash;
        private final int[] blocks;
        private int block;
        private int inBlock;

        Sums(int elements, boolean hashing) {
            this.blocks = new int[ChunkFile.blocks(elements)];
            this.hash = hashing ? Hashing.sha256() : null;
        }

        void update(MemorySegment piece) {
            long at = 0;
            while (at < piece.byteSize()) {
                int part = (int) Math.min(piece.byteSize() - at, BLOCK_BYTES - inBlock);
                ByteBuffer bytes = piece.asSlice(at, part).asByteBuffer();
                if (hash != null) {
                    hash.update(bytes.duplicate());
                }
                crc.update(bytes);
                at += part;
                inBlock += part;
                if (inBlock == BLOCK_BYTES) {
                    endBlock();
                }
            }
        }

        private void endBlock() {
            blocks[block++] = (int) crc.getValue();
            crc.reset();
            inBlock = 0;
        }

        /** The sums of all blocks; ends the last one. */
        int[] blocks() {
            if (inBlock > 0) {
                endBlock();
            }
            return blocks.clone();
        }

        /** SHA-256 of the payload in hexadecimal digits. */
        String sha256() {
            if (hash == null) {
                throw new IllegalStateException("the payload was not hashed");
            }
            return HexFormat.of().formatHex(hash.digest());
        }
    }
}
