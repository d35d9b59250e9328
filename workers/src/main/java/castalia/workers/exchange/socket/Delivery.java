package castalia.workers.exchange.socket;

import castalia.workers.exchange.Transport.Pieces;
import java.lang.foreign.MemorySegment;
import org.jspecify.annotations.Nullable;

/**
 * A payload that a rank waits for, and who is told of its pieces, in order. What is here already is told
 * on the rank's thread; while that waits, the reader of the connection tells each piece as soon as it has
 * checked it: the piece is still in the cache, and nobody is woken before the last. One piece of all
 * deliveries is told at a time. The state is guarded by the mailbox.
 */
final class Delivery {

    private final PieceKey last;
    private final MemorySegment room;
    private final int count;
    private final Pieces pieces;
    private int told;
    private long readerNanos;
    private @Nullable Throwable failure;

    /**
     * A delivery.
     *
     * @param last the payload's last piece
     * @param room memory of the payload's size
     * @param pieces told of each piece
     */
    Delivery(PieceKey last, MemorySegment room, Pieces pieces) {
        this.last = last;
        this.room = room;
        this.count = Piece.count(room.byteSize());
        this.pieces = pieces;
    }

    PieceKey last() {
        return last;
    }

    /** The piece to be told next; only while it is not done. */
    PieceKey next() {
        return last.piece(count - 1 - told);
    }

    /** Whether all pieces were told, or telling one failed. */
    boolean done() {
        return told == count || failure != null;
    }

    /** Time for which readers were telling pieces. */
    long readerNanos() {
        return readerNanos;
    }

    void told(@Nullable Throwable why, long nanos) {
        told++;
        failure = why;
        readerNanos += nanos;
    }

    /**
     * Tells a piece.
     *
     * @param onReader whether this is a reader's thread: what it throws is kept for the rank
     */
    void tell(Mailbox mailbox, Place.Room piece, boolean onReader) {
        long begun = System.nanoTime();
        Throwable why = null;
        try {
            tell(piece.segment);
        } catch (RuntimeException | Error e) {
            why = e;
        }
        mailbox.told(this, piece, why, onReader ? System.nanoTime() - begun : 0);
    }

    /**
     * Tells what is here, on the rank's thread.
     *
     * @return whether it is done
     */
    boolean receive(Mailbox mailbox) {
        for (Mailbox.Told next = mailbox.next(this, false); next != null;
                next = mailbox.next(this, false)) {
            next.tell(mailbox);
        }
        return mailbox.isDone(this);
    }

    private void tell(MemorySegment piece) {
        if (piece.byteSize() != Piece.of(room, told).byteSize()) {
            throw new IllegalStateException(last.tag() + " from " + last.from() + " has a piece of "
                    + piece.byteSize() + " bytes instead of " + Piece.of(room, told).byteSize());
        }
        pieces.piece(Piece.start(told), piece);
    }

    /** Throws what telling a piece threw on a reader's thread. */
    void requireNoFailure() {
        switch (failure) {
            case null -> { }
            case RuntimeException e -> throw e;
            case Error e -> throw e;
            default -> throw new IllegalStateException(failure);
        }
    }
}
