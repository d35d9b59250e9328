package castalia.deploy.bench.collective;

import java.io.EOFException;
import java.io.IOException;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.net.SocketAddress;
import java.net.StandardProtocolFamily;
import java.net.StandardSocketOptions;
import java.net.UnixDomainSocketAddress;
import java.nio.ByteBuffer;
import java.nio.channels.ServerSocketChannel;
import java.nio.channels.SocketChannel;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.SortedMap;
import java.util.TreeMap;

/** Plain connections between ranks, one per direction and pair, with the plane's socket options. */
final class RawSockets implements AutoCloseable {

    /** What the data plane asks of the kernel, too. */
    private static final int SOCKET_BUFFER = 1 << 20;

    private final int rank;
    private final Path path;
    private final ServerSocketChannel tcp;
    private final ServerSocketChannel unix;

    /** Connections of one kind to and from each other rank, ascending. */
    record Links(SortedMap<Integer, SocketChannel> to, SortedMap<Integer, SocketChannel> from)
            implements AutoCloseable {
        @Override
        public void close() throws IOException {
            for (SocketChannel one : to.values()) {
                one.close();
            }
            for (SocketChannel one : from.values()) {
                one.close();
            }
        }
    }

    /**
     * Listens.
     *
     * @param folder where the Unix domain socket is made
     */
    RawSockets(int rank, Path folder) throws IOException {
        this.rank = rank;
        this.path = folder.resolve("raw-" + ProcessHandle.current().pid() + ".sock");
        this.tcp = ServerSocketChannel.open(StandardProtocolFamily.INET);
        tcp.setOption(StandardSocketOptions.SO_RCVBUF, SOCKET_BUFFER);
        tcp.bind(new InetSocketAddress(InetAddress.getLoopbackAddress(), 0));
        this.unix = ServerSocketChannel.open(StandardProtocolFamily.UNIX);
        Files.deleteIfExists(path);
        unix.bind(UnixDomainSocketAddress.of(path));
    }

    int port() throws IOException {
        return ((InetSocketAddress) tcp.getLocalAddress()).getPort();
    }

    String path() {
        return path.toString();
    }

    /** Connects to all others, and waits for them to connect. */
    Links connect(Way way, List<Address> all) throws IOException {
        Links links = new Links(new TreeMap<>(), new TreeMap<>());
        ByteBuffer number = ByteBuffer.allocate(1);
        for (int r = 0; r < all.size(); r++) {
            if (r != rank) {
                SocketAddress address = switch (way) {
                    case TCP -> new InetSocketAddress(
                            InetAddress.getLoopbackAddress(), all.get(r).rawPort());
                    case UNIX -> UnixDomainSocketAddress.of(all.get(r).rawSocket());
                };
                SocketChannel channel = SocketChannel.open(way == Way.TCP
                        ? StandardProtocolFamily.INET : StandardProtocolFamily.UNIX);
                channel.setOption(StandardSocketOptions.SO_SNDBUF, SOCKET_BUFFER);
                channel.connect(address);
                if (way == Way.TCP) {
                    channel.setOption(StandardSocketOptions.TCP_NODELAY, true);
                }
                number.clear().put((byte) rank).flip();
                write(channel, number);
                links.to().put(r, channel);
            }
        }
        for (int i = 1; i < all.size(); i++) {
            SocketChannel channel = (way == Way.TCP ? tcp : unix).accept();
            number.clear();
            read(channel, number);
            links.from().put((int) number.get(0), channel);
        }
        return links;
    }

    static void write(SocketChannel to, ByteBuffer... buffers) throws IOException {
        while (buffers[buffers.length - 1].hasRemaining()) {
            if (buffers.length == 1) {
                to.write(buffers[0]);
            } else {
                to.write(buffers);
            }
        }
    }

    static void read(SocketChannel from, ByteBuffer... buffers) throws IOException {
        while (buffers[buffers.length - 1].hasRemaining()) {
            long count = buffers.length == 1 ? from.read(buffers[0]) : from.read(buffers);
            if (count < 0) {
                throw new EOFException("a peer of the plain loop is gone");
            }
        }
    }

    @Override
    public void close() throws IOException {
        tcp.close();
        unix.close();
        Files.deleteIfExists(path);
    }
}
