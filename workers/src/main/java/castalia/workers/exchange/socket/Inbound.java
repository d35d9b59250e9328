package castalia.workers.exchange.socket;

import castalia.protocol.identity.Fence;
import castalia.protocol.identity.Incarnation;
import castalia.workers.exchange.FrameTag.Kind;
import castalia.workers.exchange.socket.FramePool.Lease;
import castalia.workers.exchange.socket.Hello.Role;
import java.io.EOFException;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.channels.SocketChannel;
import org.jspecify.annotations.Nullable;

/**
 * A connection of another process to this one, read by a thread of its own. Nothing it sends is
 * kept before its hello fits, and nothing is allocated for a length before that is checked.
 */
final class Inbound implements Runnable {

    private static final int SCRATCH = 1 << 16;

    private final Core core;
    private final SocketChannel channel;
    private final ByteBuffer header = ByteBuffer.allocateDirect(FrameHeader.BYTES);
    private final Shelf.Asker asker = new Shelf.Asker(this::refuse);
    private @Nullable ByteBuffer scratch;
    private volatile boolean expired;
    private Fence answered = Fence.NONE;

    Inbound(Core core, SocketChannel channel) {
        this.core = core;
        this.channel = channel;
    }

    @Override
    public void run() {
        Session session = new Session();
        boolean damaged = false;
        String why = "connection ended";
        try {
            session.run();
        } catch (RefusedException e) {
            damaged = true;
            why = Bytes.said(e);
            core.tallies().refused.increment();
        } catch (EOFException e) {
            // within a frame: it was killed, or cut the frame off because its generation was over
            why = Bytes.said(e);
            core.tallies().refused.increment();
        } catch (IOException e) {
            // as good as an end
            if (expired) {
                core.tallies().refused.increment();
            }
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
        } finally {
            close();
            core.shelf().leave(asker);
            core.ended(this, session.from, session.last, damaged, why);
        }
    }

    /** No hello came in time. */
    void expire() {
        expired = true;
        close();
    }

    void close() {
        Bytes.closeQuietly(channel);
    }

    /** What it asked for makes no sense, as is known only now. */
    private void refuse() {
        core.tallies().refused.increment();
        close();
    }

    /** What is known of the other side. */
    private final class Session {

        private @Nullable Incarnation from;
        private Fence last = Fence.NONE;

        void run() throws IOException, InterruptedException {
            if (!Bytes.readIfAny(channel, header)) {
                throw new RefusedException("no hello");
            }
            Hello hello = Hello.decode(header);
            SocketSettings settings = core.settings();
            if (!hello.run().equals(settings.run())
                    || !hello.receiver().equals(settings.incarnation())
                    || hello.sender().equals(settings.incarnation())) {
                throw new RefusedException("hello of another run or for another process");
            }
            core.greeted(Inbound.this);
            Incarnation sender = hello.sender();
            from = sender;
            header.clear();
            while (Bytes.readIfAny(channel, header)) {
                FrameHeader read = FrameHeader.decode(header, settings.bounds().frameBytes());
                header.clear();
                if (!(read instanceof FrameHeader.Data frame) || !frame.sender().equals(sender)
                        || Role.of(frame.tag().kind()) != hello.role()) {
                    throw new RefusedException("damaged frame: unexpected " + read);
                }
                last = frame.fence();
                switch (hello.role()) {
                    case FEED -> feed(frame);
                    case MEMBER -> deliver(frame, false);
                    case FETCH -> {
                        if (frame.tag().kind() == Kind.FETCH) {
                            ask(frame);
                        } else {
                            deliver(frame, true);
                        }
                    }
                }
            }
        }
    }

    private void ask(FrameHeader.Data frame) throws IOException {
        if (frame.length() > 0 || frame.left() > 0) {
            throw new RefusedException("damaged frame: a request of " + frame.length() + " bytes");
        }
        Fence newest = core.shelf().ask(asker, frame.sender(), frame.fence(), frame.tag());
        if (newest.newerThan(frame.fence())) {
            answerStale(newest);
        }
    }

    private void deliver(FrameHeader.Data frame, boolean answer) throws IOException {
        Mailbox mailbox = core.mailbox();
        PieceKey key = new PieceKey(
                frame.sender(), frame.term(), frame.tag(), frame.left());
        switch (mailbox.place(key, frame.length(), answer, this::close)) {
            case Place.Over(Fence newest) -> {
                skip(frame);
                answerStale(newest);
            }
            case Place.Duplicate _ -> {
                core.tallies().refused.increment();
                skip(frame);
            }
            case Place.Full _ -> throw new RefusedException(
                    "more early frames than fit in " + core.settings().bounds().earlyBytes()
                            + " bytes: " + frame.tag());
            case Place.Misfit _ -> throw new RefusedException("damaged frame: " + frame.length()
                    + " bytes of " + frame.tag());
            case Place.Room room -> {
                boolean whole = false;
                try {
                    requireIntact(frame, Bytes.read(channel, room.segment, header));
                    whole = true;
                } finally {
                    if (whole) {
                        core.tallies().receivedBytes.add(frame.length());
                        mailbox.arrived(room);
                    } else {
                        mailbox.failed(room);
                    }
                }
            }
        }
    }

    private void feed(FrameHeader.Data frame) throws IOException, InterruptedException {
        Inbox inbox = core.inbox();
        Lease lease = inbox.room(frame.fence(), frame.length());
        if (lease == null) {
            skip(frame);
            answerStale(inbox.raised());
            return;
        }
        boolean whole = false;
        try {
            requireIntact(frame, Bytes.read(channel, lease.segment(), header));
            whole = true;
        } finally {
            if (!whole) {
                inbox.giveBack(lease);
            }
        }
        if (inbox.add(frame.sender(), frame.fence(), frame.tag(), lease)) {
            core.tallies().receivedBytes.add(frame.length());
        } else {
            core.tallies().staleFrames.increment();
        }
    }

    private static void requireIntact(FrameHeader.Data frame, int crc) throws RefusedException {
        if (crc != frame.payloadCrc()) {
            throw new RefusedException("damaged frame: checksum of " + frame.tag());
        }
    }

    private void skip(FrameHeader.Data frame) throws IOException {
        ByteBuffer into = scratch;
        if (into == null) {
            into = ByteBuffer.allocateDirect(SCRATCH);
            scratch = into;
        }
        Bytes.skip(channel, frame.length(), into);
    }

    private void answerStale(Fence newest) throws IOException {
        core.tallies().staleFrames.increment();
        if (newest.newerThan(answered)) {
            answered = newest;
            ByteBuffer answer = ByteBuffer.allocateDirect(FrameHeader.BYTES);
            new FrameHeader.Stale(core.settings().incarnation(), newest).encode(answer);
            Bytes.write(channel, answer.flip());
        }
    }
}
