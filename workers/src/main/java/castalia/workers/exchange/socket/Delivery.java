package castalia.workers.exchange.socket;

import castalia.protocol.identity.Fence;
import castalia.workers.exchange.Transport.Parts;
import java.lang.foreign.MemorySegment;
import java.util.List;
import org.jspecify.annotations.Nullable;

/**
 * Payloads of one size that a rank waits for, and who is told of their pieces, in order, the same piece of
 * all of them at once. What is here already is told on the rank's thread; while that waits, the reader
 * that checked the last of some pieces tells them: they are still in the cache, and nobody is woken before
 * the last. One piece of all deliveries is told at a time. The state is guarded by the mailbox.
 */
final class Delivery {

    private final List<PieceKey> last;
    private final long bytes;
    private final int count;
    private final Parts parts;
    private final Place.Room[] pieces;
    private final MemorySegment[] segments;
    private final boolean inStep;
    private int told;
    private long readerNanos;
    private @Nullable Throwable failure;

    /**
     * A delivery.
     *
     * @param last the last piece of each payload
     * @param bytes each payload's size
     * @param parts told of each piece
     */
    Delivery(List<PieceKey> last, long bytes, Parts parts) {
        this.last = last;
        this.bytes = bytes;
        this.count = Piece.count(bytes);
        this.parts = parts;
        this.pieces = new Place.Room[last.size()];
        this.segments = new MemorySegment[last.size()];
        this.inStep = last.size() > 1
                && last.stream().map(PieceKey::from).distinct().count() == last.size();
    }

    List<PieceKey> last() {
        return last;
    }

    Fence fence() {
        return last.getFirst().fence();
    }

    /** The piece of a payload to be told next; only while it is not done. */
    PieceKey next(int payload) {
        return last.get(payload).piece(count - 1 - told);
    }

    /** Whether a piece comes after those that are told next. */
    boolean isAfterNext(PieceKey piece) {
        return count - 1 - piece.left() > told;
    }

    /** Whether a piece of all payloads was told. */
    boolean hasBegun() {
        return told > 0;
    }

    /** Whether each payload is another process's: they may be read in step. */
    boolean isInStep() {
        return inStep;
    }

    /** Memory for the pieces that are told next; only who tells uses it. */
    Place.Room[] pieces() {
        return pieces;
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
     * Tells the pieces that were taken.
     *
     * @param onReader whether this is a reader's thread: what it throws is kept for the rank
     */
    void tell(Mailbox mailbox, boolean onReader) {
        long begun = System.nanoTime();
        Throwable why = null;
        try {
            tell();
        } catch (RuntimeException | Error e) {
            why = e;
        }
        mailbox.told(this, why, onReader ? System.nanoTime() - begun : 0);
    }

    /**
     * Tells what is here, on the rank's thread.
     *
     * @return whether it is done
     */
    boolean receive(Mailbox mailbox) {
        for (Delivery next = mailbox.next(this); next != null; next = mailbox.next(this)) {
            next.tell(mailbox, false);
        }
        return mailbox.isDone(this);
    }

    private void tell() {
        long start = Piece.start(told);
        long length = Math.min(Piece.BYTES, bytes - start);
        for (int i = 0; i < segments.length; i++) {
            segments[i] = pieces[i].segment;
            if (segments[i].byteSize() != length) {
                PieceKey of = last.get(i);
                throw new IllegalStateException(of.tag() + " from " + of.from() + " has a piece of "
                        + segments[i].byteSize() + " bytes instead of " + length);
            }
        }
        parts.piece(start, segments);
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
