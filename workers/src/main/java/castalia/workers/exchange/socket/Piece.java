package castalia.workers.exchange.socket;

import java.lang.foreign.MemorySegment;

/**
 * How a long payload is cut: each piece is a frame with a checksum of its own, written, read and added
 * while it is in the cache.
 */
final class Piece {

    /** Most bytes of a piece. */
    static final int BYTES = 1 << 18;

    private Piece() {}

    /** Pieces of a payload, at least one. */
    static int count(long payload) {
        return payload == 0 ? 1 : Math.toIntExact((payload + BYTES - 1) / BYTES);
    }

    /** First byte of a piece. */
    static long start(int index) {
        return (long) index * BYTES;
    }

    /** One piece of a payload. */
    static MemorySegment of(MemorySegment payload, int index) {
        return payload.byteSize() <= BYTES ? payload : payload.asSlice(
                start(index), Math.min(BYTES, payload.byteSize() - start(index)));
    }
}
