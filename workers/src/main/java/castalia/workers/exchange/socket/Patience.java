package castalia.workers.exchange.socket;

import castalia.workers.exchange.PeerLostException;
import java.util.function.IntSupplier;
import java.util.function.Supplier;
import org.jspecify.annotations.Nullable;

/**
 * Waits of a rank for others. What counts is silence: a long payload may take longer than the deadline in
 * all.
 */
final class Patience {

    private final Membership membership;
    private final long deadlineNanos;
    private final Runnable requireLive;
    private final Runnable lost;

    /**
     * The waits of a generation.
     *
     * @param deadlineNanos the longest silence; others are suspected after the membership's patience
     * @param requireLive throws if the generation is over
     * @param lost told before a peer is given up
     */
    Patience(Membership membership, long deadlineNanos, Runnable requireLive, Runnable lost) {
        this.membership = membership;
        this.deadlineNanos = deadlineNanos;
        this.requireLive = requireLive;
        this.lost = lost;
    }

    /** Waits for at most some nanoseconds and says whether the wait is over. */
    @FunctionalInterface
    interface Waiting {
        boolean await(long nanos) throws InterruptedException;
    }

    /** When anything last came from a peer, or went to it; {@code since} or later. */
    @FunctionalInterface
    interface Moved {
        long at(int peer, long since);
    }

    /**
     * Waits.
     *
     * @param whom for which rank; it may become another's turn, whose silence counts from then
     * @throws PeerLostException if the deadline passes or the thread is interrupted
     */
    void await(IntSupplier whom, Supplier<String> what, Moved movedAt, Waiting waiting) {
        int peer = whom.getAsInt();
        long since = System.nanoTime();
        long heard = since; // when the peer moved, or was suspected
        while (true) {
            int next = whom.getAsInt();
            if (next != peer) {
                peer = next;
                since = System.nanoTime();
                heard = since;
            }
            long moved = movedAt.at(peer, since);
            heard = moved - heard > 0 ? moved : heard;
            long now = System.nanoTime();
            long patient = membership.patience().get().toNanos();
            boolean done;
            try {
                done = waiting.await(Math.max(0, Math.min(
                        moved + deadlineNanos - now, heard + patient - now)));
            } catch (InterruptedException e) {
                Thread.currentThread().interrupt();
                throw lost(peer, "interrupted while waiting for " + what.get(), e);
            }
            requireLive.run();
            if (done) {
                return;
            }
            now = System.nanoTime();
            if (movedAt.at(peer, since) != moved) {
                continue;
            }
            if (now - heard >= patient) { // first: a stall may have let the deadline pass as well
                membership.suspicions().suspect(
                        membership.members().get(peer), false, what.get());
                heard = System.nanoTime();
            }
            if (now - moved >= deadlineNanos) {
                throw lost(peer, what.get() + " did not come in time", null);
            }
        }
    }

    private PeerLostException lost(int peer, String what, @Nullable Throwable cause) {
        lost.run();
        return new PeerLostException(peer, "rank " + peer + " ("
                + membership.members().get(peer).label() + "): " + what, cause);
    }
}
