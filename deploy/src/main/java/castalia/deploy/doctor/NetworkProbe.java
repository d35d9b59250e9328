package castalia.deploy.doctor;

import java.io.IOException;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.net.StandardProtocolFamily;
import java.net.UnixDomainSocketAddress;
import java.nio.ByteBuffer;
import java.nio.channels.ServerSocketChannel;
import java.nio.channels.SocketChannel;
import java.nio.file.Files;
import java.nio.file.Path;

/**
 * Whether processes of one machine can talk: a port of the loopback interface and a Unix domain
 * socket.
 */
final class NetworkProbe {
    private NetworkProbe() {}

    /** Binds a free port of 127.0.0.1 and sends one byte through it. */
    static Finding loopback() {
        try (ServerSocketChannel server = ServerSocketChannel.open()) {
            server.bind(new InetSocketAddress(InetAddress.getLoopbackAddress(), 0));
            InetSocketAddress address = (InetSocketAddress) server.getLocalAddress();
            try (SocketChannel client = SocketChannel.open(address)) {
                sendOne(server, client);
            }
            return Finding.ok(
                    "loopback", "ports of " + address.getAddress().getHostAddress() + " work");
        } catch (IOException e) {
            return Finding.fail(
                    "loopback",
                    "no port can be used: " + e.getMessage(),
                    "allow local sockets in this sandbox");
        }
    }

    /** Binds a Unix domain socket in {@code folder} and sends one byte through it. */
    static Finding unixSocket(Path folder) {
        Path path = folder.resolve("doctor-" + ProcessHandle.current().pid() + ".sock");
        try {
            Files.createDirectories(folder);
            try (ServerSocketChannel server =
                    ServerSocketChannel.open(StandardProtocolFamily.UNIX)) {
                server.bind(UnixDomainSocketAddress.of(path));
                try (SocketChannel client = SocketChannel.open(UnixDomainSocketAddress.of(path))) {
                    sendOne(server, client);
                }
            } finally {
                Files.deleteIfExists(path);
            }
            return Finding.ok("unix socket", "works in " + folder);
        } catch (IOException e) {
            return Finding.warn(
                    "unix socket",
                    "does not work in " + folder + ": " + e.getMessage(),
                    "a path of at most 107 bytes is needed; without it processes use TCP");
        }
    }

    private static void sendOne(ServerSocketChannel server, SocketChannel client)
            throws IOException {
        try (SocketChannel accepted = server.accept()) {
            if (client.write(ByteBuffer.wrap(new byte[] {42})) != 1
                    || accepted.read(ByteBuffer.allocate(1)) != 1) {
                throw new IOException("a byte did not come through");
            }
        }
    }
}
