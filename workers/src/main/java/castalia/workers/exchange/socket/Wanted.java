package castalia.workers.exchange.socket;

import java.lang.foreign.MemorySegment;
import org.jspecify.annotations.Nullable;

/**
 * Where a payload is wanted.
 *
 * @param lastResort whether a buffer is preferred, which is more likely in the cache
 */
record Wanted(MemorySegment into, boolean lastResort) {

    int pieces() {
        return Piece.count(into.byteSize());
    }

    /** The place of a piece, or null where it cannot be read into. */
    @Nullable MemorySegment piece(int left, int length) {
        int index = pieces() - 1 - left;
        if (index < 0 || !into.isNative()) {
            return null;
        }
        MemorySegment piece = Piece.of(into, index);
        return piece.byteSize() == length ? piece : null;
    }
}
