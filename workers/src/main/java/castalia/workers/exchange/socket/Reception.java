package castalia.workers.exchange.socket;

import castalia.protocol.identity.Fence;
import castalia.protocol.identity.Incarnation;
import castalia.workers.exchange.FrameTag.Kind;
import castalia.workers.exchange.socket.Hello.Role;
import java.io.EOFException;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.channels.CancelledKeyException;
import java.nio.channels.SelectionKey;
import java.nio.channels.Selector;
import java.nio.channels.SocketChannel;
import org.jspecify.annotations.Nullable;

/**
 * Frames of a member of a generation, read as they come. Used by the thread of its {@link Reader}, except
 * where it says otherwise.
 */
final class Reception {

    /** Why a connection is over that ended by itself. */
    static final String ENDED = "connection ended";

    private static final int SCRATCH = 1 << 16;

    private final Inbound connection;
    private final Core core;
    private final Reader reader;
    private final SocketChannel channel;
    private final Incarnation sender;
    private final Role role;
    private final Runnable cut = this::cut;
    private final Shelf.Asker asker = new Shelf.Asker(this::refuse);
    private final ByteBuffer header = ByteBuffer.allocateDirect(FrameHeader.BYTES);
    private final ByteBuffer[] both = {header, header};
    private @Nullable SelectionKey key;
    private FrameHeader.@Nullable Data frame;
    private Place.@Nullable Room room;
    private @Nullable ByteBuffer scratch;
    private int skipped;
    private Fence last = Fence.NONE;
    private Fence answered = Fence.NONE;

    /** What a turn came to. */
    enum Turn {
        /** More is to be read. */
        GOES_ON,
        /** A frame has no place: another turn may find one after {@link Reader#retry}. */
        PARKED,
        /** The connection is over. */
        OVER
    }

    /** Of a connection whose hello fits; the channel blocks only where its reader has no other. */
    Reception(Inbound connection, Core core, Reader reader, SocketChannel channel, Hello hello) {
        this.connection = connection;
        this.core = core;
        this.reader = reader;
        this.channel = channel;
        this.sender = hello.sender();
        this.role = hello.role();
    }

    /** Ends it soon. For any thread. */
    void cut() {
        reader.end(this);
    }

    /** What it asked for makes no sense, as is known only now. For any thread. */
    private void refuse() {
        refused();
        cut();
    }

    private void refused() {
        core.tallies().refused.increment();
    }

    void register(Selector selector) throws IOException {
        key = channel.register(selector, SelectionKey.OP_READ, this);
    }

    /** Reads what is there, one piece at most. */
    Turn turn() {
        try {
            return advance() ? Turn.GOES_ON : Turn.PARKED;
        } catch (RefusedException e) {
            end(Bytes.said(e), true);
        } catch (EOFException e) {
            // within a frame: it was killed, or cut the frame off because its generation was over
            refused();
            end(Bytes.said(e), false);
        } catch (IOException | CancelledKeyException e) {
            end(); // as good as an end
        } catch (RuntimeException e) {
            end(Bytes.said(e), true);
        }
        return Turn.OVER;
    }

    /** Returns false if its frame has no place. */
    private boolean advance() throws IOException {
        FrameHeader.Data now = frame;
        if (now != null && room == null && skipped < 0) {
            return place(now);
        }
        if (now == null) {
            int count = channel.read(header);
            if (count < 0) {
                throw header.position() == 0 ? new IOException(ENDED) : new EOFException(
                        "connection ended after " + header.position() + " bytes of a header");
            }
            if (header.hasRemaining() || !begin()) {
                return !isParked();
            }
            now = frame;
        }
        if (now == null) {
            return true;
        }
        if (room == null) {
            skip(now);
            return true;
        }
        read(now);
        return !isParked();
    }

    private boolean isParked() {
        return frame != null && room == null && skipped < 0;
    }

    /**
     * Begins the frame whose header is there.
     *
     * @return whether more of it is to be read
     */
    private boolean begin() throws IOException {
        header.flip();
        FrameHeader read = FrameHeader.decode(header, core.settings().bounds().frameBytes());
        header.clear();
        if (!(read instanceof FrameHeader.Data data) || !data.sender().equals(sender)
                || Role.of(data.tag().kind()) != role) {
            throw new RefusedException("damaged frame: unexpected " + read);
        }
        last = data.fence();
        if (data.tag().kind() == Kind.FETCH) {
            ask(data);
            return false;
        }
        frame = data;
        skipped = -1;
        return place(data) && frame != null;
    }

    private void ask(FrameHeader.Data request) throws IOException {
        if (request.length() > 0 || request.left() > 0) {
            throw new RefusedException("damaged frame: a request of " + request.length() + " bytes");
        }
        Fence newest = core.shelf().ask(asker, request.sender(), request.fence(), request.tag());
        if (newest.newerThan(request.fence())) {
            answerStale(newest);
        }
    }

    /** Finds a place for a frame, and says whether there is one. */
    private boolean place(FrameHeader.Data of) throws IOException {
        PieceKey piece = new PieceKey(of.sender(), of.term(), of.tag(), of.left());
        Place place = core.mailbox().place(
                piece, of.length(), role == Role.FETCH, cut, reader);
        boolean parked = place instanceof Place.Later;
        interest(!parked);
        switch (place) {
            case Place.Later _ -> { }
            case Place.Over(Fence newest) -> {
                skipped = 0;
                answerStale(newest);
            }
            case Place.Duplicate _ -> {
                skipped = 0;
                refused();
            }
            case Place.Full _ -> throw new RefusedException(
                    "more early frames than fit in " + core.settings().bounds().earlyBytes()
                            + " bytes: " + of.tag());
            case Place.Misfit _ -> throw new RefusedException("damaged frame: " + of.length()
                    + " bytes of " + of.tag());
            case Place.Room found -> {
                room = found;
                both[0] = found.segment.asByteBuffer();
            }
        }
        if (!parked && of.length() == 0) {
            complete(of);
        }
        return !parked;
    }

    private void interest(boolean reading) {
        SelectionKey registered = key;
        int wanted = reading ? SelectionKey.OP_READ : 0;
        if (registered != null && registered.interestOps() != wanted) {
            registered.interestOps(wanted);
        }
    }

    /** Reads of a payload what there is, and of the next header, too. */
    private void read(FrameHeader.Data of) throws IOException {
        long count;
        do { // what comes meanwhile is taken without asking first
            count = channel.read(both);
        } while (count > 0 && both[0].hasRemaining());
        if (count < 0) {
            throw new EOFException("connection ended after " + both[0].position() + " of "
                    + of.length() + " bytes of a frame");
        }
        if (!both[0].hasRemaining()) {
            complete(of);
            if (!header.hasRemaining()) {
                begin();
            }
        }
    }

    private void skip(FrameHeader.Data of) throws IOException {
        ByteBuffer into = scratch;
        if (into == null) {
            into = ByteBuffer.allocateDirect(SCRATCH);
            scratch = into;
        }
        into.clear().limit(Math.min(of.length() - skipped, SCRATCH));
        int count = channel.read(into);
        if (count < 0) {
            throw new EOFException("connection ended with " + (of.length() - skipped)
                    + " bytes of a frame left");
        }
        skipped += count;
        if (skipped == of.length()) {
            complete(of);
        }
    }

    /** All of a frame was read. */
    private void complete(FrameHeader.Data of) throws RefusedException {
        Place.Room whole = room;
        if (whole != null) {
            Frames.requireIntact(of, Bytes.crc(both[0].flip()));
            core.tallies().receivedBytes.add(of.length());
            room = null;
            both[0] = header;
        }
        frame = null;
        if (whole != null) {
            core.mailbox().arrived(whole);
        }
    }

    private void answerStale(Fence newest) throws IOException {
        core.tallies().staleFrames.increment();
        if (newest.newerThan(answered)) {
            answered = newest;
            if (channel.write(Frames.stale(core, newest)) < FrameHeader.BYTES) {
                throw new IOException("the other side does not read answers");
            }
        }
    }

    /** Has a read that blocks end. For any thread. */
    void close() {
        Bytes.closeQuietly(channel);
    }

    /** The connection is over: nothing more is written to a destination. */
    void end() {
        end(ENDED, false);
    }

    private void end(String why, boolean damaged) {
        close();
        Place.Room unfinished = room;
        if (unfinished != null) {
            room = null;
            core.mailbox().failed(unfinished);
        }
        if (damaged) {
            refused();
        }
        core.shelf().leave(asker);
        core.ended(connection, sender, last, damaged, why);
    }
}
