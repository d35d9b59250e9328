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
     * Starts sending a payload and returns. The payload must not change until {@link #drain}.
     *
     * @throws PeerLostException if the peer is known to be lost
     */
    void send(int to, FrameTag tag, MemorySegment payload);

    /**
     * Waits for a frame and copies it into {@code into}, whose size is the frame's.
     *
     * @throws PeerLostException if the peer is lost or the deadline passes; it names the peer and
     *     what was waited for
     */
    void receive(int from, FrameTag tag, MemorySegment into);

    /**
     * Waits until every payload sent may change again.
     *
     * @throws PeerLostException as {@link #receive}
     */
    void drain();

    /** Payload bytes sent so far. */
    long sentBytes();

    @Override
    void close();
}
