package castalia.workers.exchange.socket;

import castalia.protocol.identity.Fence;
import castalia.protocol.identity.Incarnation;
import castalia.workers.exchange.socket.FramePool.Lease;
import castalia.workers.exchange.socket.Hello.Role;
import java.io.EOFException;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.channels.SocketChannel;
import org.jspecify.annotations.Nullable;

/**
 * A connection of another process to this one. A thread of its own reads the hello and, of an owner that
 * feeds this learner, the frames; those of members are left to a {@link Reader}. Nothing it sends is
 * kept before its hello fits, and nothing is allocated for a length before that is checked.
 */
final class Inbound implements Runnable {

    private static final int SCRATCH = 1 << 16;

    private final Core core;
    private final SocketChannel channel;
    private final ByteBuffer header = ByteBuffer.allocateDirect(FrameHeader.BYTES);
    private @Nullable ByteBuffer scratch;
    private volatile boolean expired;
    private volatile @Nullable Reception reception;
    private Fence answered = Fence.NONE;

    Inbound(Core core, SocketChannel channel) {
        this.core = core;
        this.channel = channel;
    }

    @Override
    public void run() {
        Session session = new Session();
        boolean damaged = false;
        String why = Reception.ENDED;
        try {
            if (session.run()) {
                return; // who reads it says when it is over
            }
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
        }
        close();
        core.ended(this, session.from, session.last, damaged, why);
    }

    /** No hello came in time. */
    void expire() {
        expired = true;
        close();
    }

    void close() {
        Reception reading = reception;
        if (reading != null) {
            reading.cut();
        } else {
            Bytes.closeQuietly(channel);
        }
    }

    /** What is known of the other side. */
    private final class Session {

        private @Nullable Incarnation from;
        private Fence last = Fence.NONE;

        /** Returns whether its frames are, or were, read by somebody else. */
        boolean run() throws IOException, InterruptedException {
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
            from = hello.sender();
            if (hello.role() != Role.FEED) {
                receive(hello);
                return true;
            }
            header.clear();
            while (Bytes.readIfAny(channel, header)) {
                FrameHeader read = FrameHeader.decode(header, settings.bounds().frameBytes());
                header.clear();
                if (!(read instanceof FrameHeader.Data frame) || !frame.sender().equals(from)
                        || Role.of(frame.tag().kind()) != Role.FEED) {
                    throw new RefusedException("damaged frame: unexpected " + read);
                }
                last = frame.fence();
                feed(frame);
            }
            return false;
        }
    }

    /**
     * Has a member's frames read: by a loop that reads others, too, or here where there is no other. Where
     * ranks share processors, threads for each connection would take turns at every few kilobytes.
     */
    private void receive(Hello hello) throws IOException {
        if (hello.ranks() > 2) {
            channel.configureBlocking(false);
            ReadLoop loop = core.loop();
            Reception reading = new Reception(this, core, loop, channel, hello);
            reception = reading;
            loop.add(reading);
        } else {
            ReadThread thread = new ReadThread();
            Reception reading = new Reception(this, core, thread, channel, hello);
            reception = reading;
            thread.run(reading);
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
            Frames.requireIntact(frame, Bytes.read(channel, lease.segment(), header));
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
            Bytes.write(channel, Frames.stale(core, newest));
        }
    }
}
