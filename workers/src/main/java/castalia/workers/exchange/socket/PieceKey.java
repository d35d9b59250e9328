package castalia.workers.exchange.socket;

import castalia.protocol.identity.Fence;
import castalia.protocol.identity.Incarnation;
import castalia.workers.exchange.FrameTag;

/**
 * Names a piece among those of all senders and generations; the last one stands for its payload.
 *
 * @param left pieces of the same payload that come after it
 */
record PieceKey(Incarnation from, long term, FrameTag tag, int left) {

    /** Another piece of the same payload. */
    PieceKey piece(int piecesLeft) {
        return left == piecesLeft ? this : new PieceKey(from, term, tag, piecesLeft);
    }

    Fence fence() {
        return new Fence(term, tag.generation());
    }
}
