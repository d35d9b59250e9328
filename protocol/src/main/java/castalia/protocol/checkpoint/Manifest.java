package castalia.protocol.checkpoint;

import castalia.protocol.step.ScalarState;
import castalia.protocol.step.StateDigest;
import java.security.MessageDigest;
import java.util.HexFormat;
import java.util.List;

/**
 * What a checkpoint consists of. A checkpoint exists if and only if its manifest does; the
 * manifest says nothing about time, nodes or placement, so that equal states have equal manifests.
 *
 * <p>The <em>state hash</em> is the SHA-256 over, in order, the 48 canonical bytes of the scalar
 * state ({@link ScalarState#bytes}) and the 32 bytes of each chunk's SHA-256, chunks ascending. A
 * chunk's SHA-256 is over its little-endian fp32 weights, then its first moments, then its second
 * moments. Two runs have the same state if and only if their state hashes are equal.
 *
 * @param runHash identity of the run, 64 hexadecimal digits
 * @param numericVersion arithmetic that produced the state
 * @param scalarState the part of the state that is no tensor; holds the step
 * @param parentStep step of the checkpoint the run continued from, -1 for none
 * @param flatElements length of the flat space
 * @param digest digest of the state: the sum of the chunks' digests
 * @param stateHash the state hash, 64 hexadecimal digits
 * @param chunks all chunks of the grid, ascending; they cover the flat space
 */
public record Manifest(
        String runHash,
        String numericVersion,
        ScalarState scalarState,
        long parentStep,
        long flatElements,
        StateDigest digest,
        String stateHash,
        List<ChunkEntry> chunks) {

    /** Version of the format at rest. */
    public static final int FORMAT = 1;

    /** Stands for "no parent". */
    public static final long NO_PARENT = -1;

    /** Most chunks of a checkpoint: 2^39 elements in chunks of 2^20. */
    public static final int MOST_CHUNKS = 1 << 19;

    private static final int LONGEST_NUMERIC_VERSION = 1024;

    public Manifest {
        chunks = List.copyOf(chunks);
        Hashes.require("the run", runHash);
        if (numericVersion.isEmpty() || numericVersion.length() > LONGEST_NUMERIC_VERSION) {
            throw new IllegalArgumentException("the numeric version has " + numericVersion.length()
                    + " characters; it must have 1 to " + LONGEST_NUMERIC_VERSION);
        }
        if (parentStep < NO_PARENT
                || (parentStep >= scalarState.step() && parentStep != NO_PARENT)) {
            throw new IllegalArgumentException(
                    "parent step " + parentStep + " of step " + scalarState.step());
        }
        if (chunks.isEmpty() || chunks.size() > MOST_CHUNKS) {
            throw new IllegalArgumentException(
                    chunks.size() + " chunks; 1 to " + MOST_CHUNKS + " are possible");
        }
        long end = requireCover(chunks);
        if (end != flatElements) {
            throw new IllegalArgumentException("the chunks cover " + end + " elements of "
                    + flatElements);
        }
        StateDigest sum = sum(chunks);
        if (!sum.equals(digest)) {
            throw new IllegalArgumentException("the chunks' digests sum to " + sum.hex()
                    + ", not to the state's " + digest.hex());
        }
        String hash = hash(scalarState, chunks);
        if (!hash.equals(stateHash)) {
            throw new IllegalArgumentException("the chunks have the state hash " + hash
                    + ", not " + stateHash);
        }
    }

    /** The manifest of a state; digest, state hash and length follow from the chunks. */
    public static Manifest of(
            String runHash,
            String numericVersion,
            ScalarState scalarState,
            long parentStep,
            List<ChunkEntry> chunks) {
        if (chunks.isEmpty()) {
            throw new IllegalArgumentException("a manifest without chunks");
        }
        return new Manifest(
                runHash,
                numericVersion,
                scalarState,
                parentStep,
                chunks.getLast().chunk().end(),
                sum(chunks),
                hash(scalarState, chunks),
                chunks);
    }

    /**
     * The state hash, in hexadecimal digits.
     *
     * @param chunkHashes the 32-byte SHA-256 of each chunk's content, ascending by chunk
     */
    public static String stateHash(ScalarState scalarState, List<byte[]> chunkHashes) {
        MessageDigest digest = Hashes.sha256();
        digest.update(scalarState.bytes());
        for (byte[] hash : chunkHashes) {
            if (hash.length != Hashes.BYTES) {
                throw new IllegalArgumentException("a SHA-256 of " + hash.length + " bytes");
            }
            digest.update(hash);
        }
        return HexFormat.of().formatHex(digest.digest());
    }

    /** Completed steps. */
    public long step() {
        return scalarState.step();
    }

    private static String hash(ScalarState scalarState, List<ChunkEntry> chunks) {
        return stateHash(scalarState, chunks.stream().map(ChunkEntry::sha256Bytes).toList());
    }

    private static StateDigest sum(List<ChunkEntry> chunks) {
        return chunks.stream().map(ChunkEntry::digest).reduce(StateDigest.ZERO, StateDigest::plus);
    }

    private static long requireCover(List<ChunkEntry> chunks) {
        long end = 0;
        for (int i = 0; i < chunks.size(); i++) {
            ChunkEntry entry = chunks.get(i);
            if (entry.chunk().index() != i || entry.chunk().offset() != end) {
                throw new IllegalArgumentException("chunk " + entry.chunk().index() + " at element "
                        + entry.chunk().offset() + " stands where chunk " + i + " at element " + end
                        + " belongs");
            }
            end = entry.chunk().end();
        }
        return end;
    }
}
