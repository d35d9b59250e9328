package castalia.workers.exchange;

import java.lang.foreign.MemorySegment;
import java.util.List;
import org.jspecify.annotations.Nullable;

/**
 * One rank's connection to the others of its generation. Used by the rank's thread only. Tensor
 * bytes travel here and nowhere else.
 */
public interface Transport extends AutoCloseable {

    /** This rank. */
    int rank();

    /** Ranks of the generation. */
    int ranks();

    /** Whether ranks may be processes of their own. */
    default boolean betweenProcesses() {
        return false;
    }

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
     * Says where a frame is going to be received, so that it can be read straight to there however
     * early it comes. A {@code receive} with the same tag and destination is to follow; until then
     * the destination may be written at any time. An end of the generation, or {@link #forget}, withdraws
     * it.
     */
    default void expect(int from, FrameTag tag, MemorySegment into) {}

    /** Withdraws every {@link #expect} that was not received: nothing is written there any more. */
    default void forget() {}

    /**
     * Whence a payload is to come.
     *
     * @param from the rank that sends it
     */
    record Source(int from, FrameTag tag) {}

    /**
     * As the other, for who only reads payloads of one size, from one or several ranks: gives the same
     * piece of all of them at once, in order, as soon as it is there, and copies nothing that came early.
     * While this thread waits, pieces may be given on another, one at a time.
     *
     * @param sources at least one, all different; who sends several of them sends them in this order
     * @param rooms for each source memory of the payloads' size where its payload may be written
     * @param parts told of each piece
     */
    default void receive(List<Source> sources, MemorySegment[] rooms, Parts parts) {
        for (int i = 0; i < rooms.length; i++) {
            receive(sources.get(i).from(), sources.get(i).tag(), rooms[i]);
        }
        parts.piece(0, rooms);
    }

    /**
     * Begins a {@link #receive(List, MemorySegment[], Parts)} of the same sources, which is to follow: from
     * now on pieces may be given, on other threads, one at a time of all that are begun. They end with
     * {@link #forget} or the generation.
     *
     * @param bytes size of each payload
     */
    default void begin(List<Source> sources, long bytes, Parts parts) {}

    /** Is told of payloads' parts. */
    @FunctionalInterface
    interface Parts {

        /**
         * A piece is there.
         *
         * @param offset its first byte in the payloads
         * @param bytes where it lies, by source; not to be written, and not to be read afterwards
         */
        void piece(long offset, MemorySegment[] bytes);
    }

    /**
     * Waits until every payload sent to one rank may change again.
     *
     * @throws AbandonedException as {@link #drain()}
     * @throws PeerLostException as {@code receive}
     */
    void drain(int to);

    /**
     * Waits until every payload sent may change again.
     *
     * @throws AbandonedException if the generation is over; payloads may change then, too
     * @throws PeerLostException as {@code receive}
     */
    void drain();

    /**
     * Time the rank spent waiting in {@code receive}, {@code fetched}, {@code drain} and {@code withdraw} so
     * far, nanoseconds.
     */
    long waitedNanos();

    /**
     * Publishes weights, in place of those before: members fetch them from this memory without this
     * rank's thread. It must not change until {@link #withdraw}. Requests that came before are
     * answered now. Nothing is served any more once the generation is over.
     *
     * @param version step of the weights
     * @param chunks by chunk of the grid what is served; null for what is not
     */
    void serve(long version, @Nullable MemorySegment[] chunks);

    /**
     * Ends {@link #serve}: when this returns, or the transport is closed, nothing that was served is
     * read any more.
     *
     * @throws AbandonedException if the generation is over
     * @throws PeerLostException as {@code receive}
     */
    void withdraw();

    /**
     * Starts fetching weights that a peer serves, or will, and returns. {@code into} is written until
     * {@link #fetched} returns or the transport is closed; it must be native memory, of the size that
     * is served.
     *
     * @param tag of kind {@link FrameTag.Kind#FETCH}, never used before in this generation
     * @throws AbandonedException if the generation is over
     */
    void fetch(int from, FrameTag tag, MemorySegment into);

    /**
     * Waits for what a {@link #fetch} with the same arguments began.
     *
     * @throws AbandonedException if the generation is over
     * @throws PeerLostException as {@code receive}
     */
    void fetched(int from, FrameTag tag, MemorySegment into);

    /** Payload bytes sent so far. */
    long sentBytes();

    /** Ends it. Payloads and what was served may change afterwards, and nothing is fetched. */
    @Override
    void close();
}
