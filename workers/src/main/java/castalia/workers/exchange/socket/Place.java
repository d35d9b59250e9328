package castalia.workers.exchange.socket;

import castalia.protocol.identity.Fence;
import castalia.workers.exchange.socket.FramePool.Lease;
import java.lang.foreign.MemorySegment;
import org.jspecify.annotations.Nullable;

/** What a reader is to do with a payload. */
sealed interface Place {

    /** To skip it: the generation is over. */
    record Over(Fence newest) implements Place {}

    /** To skip it: there is such a frame already, or nobody asked for it. */
    record Duplicate() implements Place {}

    /** It is waited for with memory that it cannot be read into, and there is no room for it. */
    record Full() implements Place {}

    /** To wait: there is no room for it yet. */
    record Later() implements Place {}

    /** It was asked for, but has another length. */
    record Misfit() implements Place {}

    /**
     * Where to read it. Then it is to be reported as {@link Mailbox#arrived} or {@link
     * Mailbox#failed}. What changes is guarded by the mailbox.
     */
    final class Room implements Place {

        final PieceKey key;
        final MemorySegment segment;
        final @Nullable Lease lease;
        final Runnable cut;
        boolean ready;
        boolean dropped;

        /**
         * A place.
         *
         * @param lease the buffer, where it is not the destination itself
         * @param cut ends the connection the payload comes from
         */
        Room(PieceKey key, MemorySegment segment, @Nullable Lease lease, Runnable cut) {
            this.key = key;
            this.segment = segment;
            this.lease = lease;
            this.cut = cut;
        }
    }
}
