package castalia.workers.exchange.socket;

import castalia.workers.exchange.socket.Hello.Role;
import castalia.workers.exchange.socket.Outbound.Outgoing;
import java.io.IOException;
import java.lang.foreign.MemorySegment;
import java.nio.ByteBuffer;
import java.nio.channels.SocketChannel;
import java.util.ArrayList;
import java.util.List;

/**
 * Writes frames to a connection, straight from their payloads' memory. Long payloads go in pieces,
 * each checksummed right before it is written, those for learners whole; short ones go together. Used by
 * one thread, except where it says otherwise.
 */
final class FrameWriter {

    private static final int MOST_TOGETHER = 32;
    private static final long BYTES_TOGETHER = 1 << 16;

    private final Core core;
    private final ByteBuffer headers =
            ByteBuffer.allocateDirect(MOST_TOGETHER * FrameHeader.BYTES);
    private final List<ByteBuffer> buffers = new ArrayList<>();
    private long gathered;
    private volatile long movedAt = System.nanoTime();

    FrameWriter(Core core) {
        this.core = core;
    }

    /** When something was last written; for any thread. */
    long movedAt() {
        return movedAt;
    }

    /** Whether frames are few and short enough to be written by one call. */
    static boolean together(int frames, long bytes) {
        return frames < MOST_TOGETHER && bytes <= BYTES_TOGETHER;
    }

    void write(SocketChannel to, Hello hello) throws IOException {
        headers.clear();
        hello.encode(headers);
        Bytes.write(to, headers.flip());
    }

    /** Writes all of some frames. */
    void write(PeerChannel to, List<Outgoing> frames) throws IOException {
        clear();
        for (Outgoing frame : frames) {
            boolean whole = Role.of(frame.tag().kind()) == Role.FEED; // a learner takes whole frames
            int count = whole ? 1 : Piece.count(frame.payload().byteSize());
            for (int i = 0; i < count; i++) {
                MemorySegment piece = whole ? frame.payload() : Piece.of(frame.payload(), i);
                if (!buffers.isEmpty()
                        && !together(buffers.size() / 2, gathered + piece.byteSize())) {
                    flush(to);
                }
                gather(frame, piece, count - 1 - i);
            }
        }
        flush(to);
    }

    private void gather(Outgoing frame, MemorySegment piece, int left) {
        ByteBuffer payload = piece.asByteBuffer();
        int at = headers.position();
        new FrameHeader.Data(core.settings().incarnation(), frame.fence().term(), frame.tag(),
                left, payload.remaining(), Bytes.crc(payload.duplicate())).encode(headers);
        buffers.add(headers.slice(at, FrameHeader.BYTES));
        buffers.add(payload);
        gathered += payload.remaining();
    }

    private void flush(PeerChannel to) throws IOException {
        to.write(buffers.toArray(ByteBuffer[]::new));
        movedAt = System.nanoTime();
        core.tallies().sentBytes.add(gathered);
        clear();
    }

    private void clear() {
        headers.clear();
        buffers.clear();
        gathered = 0;
    }
}
