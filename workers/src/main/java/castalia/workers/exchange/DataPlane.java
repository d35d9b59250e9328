package castalia.workers.exchange;

import castalia.protocol.identity.Endpoint;
import castalia.protocol.identity.Fence;
import castalia.protocol.identity.Incarnation;
import castalia.protocol.identity.Member;
import java.lang.foreign.MemorySegment;
import java.time.Duration;
import java.util.List;
import java.util.function.Supplier;
import org.jspecify.annotations.Nullable;

/**
 * A worker process's side of the data plane: one listener, and per generation a {@link Transport}
 * with a connection per peer and direction. Tensor bytes travel here and nowhere else.
 */
public interface DataPlane extends AutoCloseable {

    /** Where it listens. */
    Endpoint endpoint();

    /**
     * Raises the fence: transports of older generations are abandoned (whoever waits in one gets an
     * {@link AbandonedException}), and older frames are dropped and counted from now on.
     */
    void raise(Fence fence);

    /**
     * Opens the transport of a generation, which is the newest fence raised. Frames that faster
     * members sent already are in it.
     *
     * <p>A peer is suspected as broken once per generation; as silent each time a wait for it has
     * lasted another {@code patience}.
     *
     * @param patience how long a wait for a peer may take before the peer is suspected
     * @param suspicions told of it, from any thread; waiting goes on
     * @throws AbandonedException if a newer fence was raised
     * @throws IllegalStateException if it was not raised, or was joined before
     */
    Transport join(
            Fence fence,
            List<Member> members,
            int rank,
            Supplier<Duration> patience,
            Suspicions suspicions);

    /** Is told of peers that are silent or gone. */
    @FunctionalInterface
    interface Suspicions {

        /**
         * A peer is waited for too long, or its connection ended.
         *
         * @param broken whether the connection ended
         * @param what what was waited for
         */
        void suspect(Member about, boolean broken, String what);
    }

    /**
     * Copies a frame for a worker that need not be a member into the bounded queue of its
     * connection.
     *
     * @param parts concatenated they are the payload
     * @return false if the queue has no room: the receiver is too slow; or if its connection ended
     *     since the fence was raised
     * @throws AbandonedException if the fence is older than the one raised
     */
    boolean offer(Fence fence, Member to, FrameTag tag, MemorySegment... parts);

    /**
     * Takes the next frame that was {@link #offer}ed to this worker, in order per sender.
     *
     * @return null if none arrives in time
     */
    @Nullable Parcel poll(Duration wait);

    /** A frame for a learner. To be closed by who took it; its memory is reused then. */
    interface Parcel extends AutoCloseable {
        Fence fence();

        Incarnation from();

        FrameTag tag();

        MemorySegment payload();

        @Override
        void close();
    }

    /** What it counted since it was opened. */
    Counters counters();

    /**
     * Counts.
     *
     * @param sentBytes payload bytes sent
     * @param receivedBytes payload bytes received and kept
     * @param staleFrames frames dropped because their fence was old
     * @param refused connections and frames refused because they made no sense
     */
    record Counters(long sentBytes, long receivedBytes, long staleFrames, long refused) {}

    /** Closes every connection. */
    @Override
    void close();
}
