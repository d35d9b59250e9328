package castalia.workers.exchange.socket;

import java.io.Closeable;
import java.io.EOFException;
import java.io.IOException;
import java.net.InetSocketAddress;
import java.net.SocketAddress;
import java.net.StandardProtocolFamily;
import java.nio.ByteBuffer;
import java.nio.channels.CancelledKeyException;
import java.nio.channels.ClosedByInterruptException;
import java.nio.channels.ClosedChannelException;
import java.nio.channels.SelectionKey;
import java.nio.channels.Selector;
import java.nio.channels.SocketChannel;

/**
 * A connection to a peer, on which frames go out and short answers come back. One thread does both: it waits
 * for either at once, because a thread that sleeps in a read of a socket is woken each time the peer takes
 * bytes out of it. Used by that thread, except where it says otherwise.
 */
final class PeerChannel implements Closeable {

    /** Most reads of answers before the thread turns to its frames; the rest is taken next time. */
    private static final int MOST_READS = 16;

    private final SocketChannel channel;
    private final Selector selector;
    private final SelectionKey key;
    private final Answers answers;
    private final ByteBuffer answer = ByteBuffer.allocateDirect(FrameHeader.BYTES);

    /** Told of answers, on the connection's thread. */
    interface Answers {
        /** Takes one, of {@link FrameHeader#BYTES} bytes. */
        void answered(ByteBuffer answer) throws IOException;
    }

    /** Takes over a connection, whose channel does not block from now on. */
    PeerChannel(SocketChannel connected, Answers answers) throws IOException {
        this.channel = connected;
        this.answers = answers;
        connected.configureBlocking(false);
        this.selector = Selector.open();
        try {
            this.key = connected.register(selector, SelectionKey.OP_READ);
        } catch (IOException e) {
            Bytes.closeQuietly(selector);
            throw e;
        }
    }

    /** A channel for an address, which blocks. */
    static SocketChannel unconnected(SocketAddress address) throws IOException {
        return SocketChannel.open(address instanceof InetSocketAddress
                ? StandardProtocolFamily.INET : StandardProtocolFamily.UNIX);
    }

    /** Whether it has not ended. For any thread. */
    boolean isOpen() {
        return channel.isOpen();
    }

    /** Has the thread look again if it waits now, or else when it waits next. For any thread. */
    void wake() {
        selector.wakeup();
    }

    /** Waits until something comes, the peer is gone, or it is woken. */
    void await() {
        try {
            select(SelectionKey.OP_READ);
        } catch (IOException e) {
            end();
        }
        look();
    }

    private void select(int interest) throws IOException {
        try {
            key.interestOps(interest);
        } catch (CancelledKeyException e) {
            throw new ClosedChannelException();
        }
        selector.select(_ -> { });
        if (Thread.currentThread().isInterrupted()) {
            throw new ClosedByInterruptException(); // no later wait would be one
        }
    }

    /** Takes the answers that are here, and returns whether it has not ended. */
    boolean look() {
        try {
            takeAnswers();
        } catch (IOException e) {
            end(); // whatever it was, the connection is of no more use
        }
        return isOpen();
    }

    /** Writes all of some buffers; waits while the peer takes nothing. */
    void write(ByteBuffer... buffers) throws IOException {
        int first = 0;
        try {
            while (true) {
                channel.write(buffers, first, buffers.length - first);
                while (first < buffers.length && !buffers[first].hasRemaining()) {
                    first++;
                }
                if (first == buffers.length) {
                    return;
                }
                select(SelectionKey.OP_READ | SelectionKey.OP_WRITE);
                takeAnswers();
            }
        } catch (IOException e) {
            look(); // a peer that takes no more may have said why
            throw e;
        }
    }

    private void takeAnswers() throws IOException {
        for (int reads = 0; reads < MOST_READS; reads++) {
            int count = channel.read(answer);
            if (count < 0) {
                throw new EOFException("connection ended");
            }
            if (count == 0) {
                return;
            }
            if (!answer.hasRemaining()) {
                answers.answered(answer.flip());
                answer.clear();
            }
        }
    }

    /** Ends it: a write fails, a wait is over. For any thread. */
    void end() {
        Bytes.closeQuietly(channel);
        selector.wakeup();
    }

    /** Ends it and frees what it has; its thread does that. */
    @Override
    public void close() throws IOException {
        try {
            channel.close();
        } finally {
            selector.close();
        }
    }
}
