package castalia.workers.exchange;

import java.lang.foreign.MemorySegment;

/**
 * One rank's connection to the others of its generation. Used by the rank's thread only. Tensor
 * bytes travel here and nowhere else.
 */
public interface Transport extends AutoCloseable {

    /** This rank. */
    int rank();

    /** Ranks of the generation. */
    int ranks();

    /**
     * Starts sending a payload and returns. The payload must not change until {@link #drain}. What
     * is sent to a peer in another process whose connection ended is dropped: the generation is
     * about to be abandoned.
     *
     * @throws AbandonedException if the generation is over; the plane holds no payload any more
     * @throws PeerLostException if the ranks share a process and one of them failed
     */
    void send(int to, FrameTag tag, MemorySegment payload);

    /**
     * Waits for a frame and copies it into {@code into}, whose size is the frame's.
     *
     * @throws AbandonedException if the generation is over; nothing is written to {@code into} any
     *     more
     * @throws PeerLostException if the deadline passes, the thread is interrupted, or the ranks
     *     share a process and one of them failed; it names the peer and what was waited for
     * @throws IllegalStateException if the frame has another size
     */
    void receive(int from, FrameTag tag, MemorySegment into);

    /**
     * Waits until every payload sent may change again.
     *
     * @throws AbandonedException if the generation is over; payloads may change then, too
     * @throws PeerLostException as {@link #receive}
     */
    void drain();

    /** Payload bytes sent so far. */
    long sentBytes();

    /** Ends it. Payloads may change afterwards. */
    @Override
    void close();
}
