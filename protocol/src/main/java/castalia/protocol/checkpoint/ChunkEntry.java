package castalia.protocol.checkpoint;

import castalia.protocol.layout.Chunk;
import castalia.protocol.step.StateDigest;
import java.util.HexFormat;

/**
 * One chunk of a checkpoint. Its content is the chunk's fp32 weights, then its first moments, then
 * its second moments, little-endian, padding included: {@code 12 * length} bytes.
 *
 * @param chunk its place in the flat space
 * @param sha256 SHA-256 of the content, 64 lower-case hexadecimal digits
 * @param bytes length of the chunk's stored form
 * @param digest digest of the content at its flat positions
 */
public record ChunkEntry(Chunk chunk, String sha256, long bytes, StateDigest digest) {

    /** Bytes of content per element: a weight and two moments. */
    public static final int BYTES_PER_ELEMENT = 12;

    /** Most bytes of a stored chunk. */
    public static final long MOST_BYTES = 64L << 20;

    public ChunkEntry {
        Hashes.require("chunk " + chunk.index(), sha256);
        if (bytes < 1 || bytes > MOST_BYTES) {
            throw new IllegalArgumentException("chunk " + chunk.index() + " has " + bytes
                    + " bytes; 1 to " + MOST_BYTES + " are possible");
        }
    }

    /** Length of the content. */
    public int contentBytes() {
        return chunk.length() * BYTES_PER_ELEMENT;
    }

    /** The SHA-256 of the content as 32 bytes. */
    public byte[] sha256Bytes() {
        return HexFormat.of().parseHex(sha256);
    }
}
