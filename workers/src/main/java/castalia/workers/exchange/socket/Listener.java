package castalia.workers.exchange.socket;

import castalia.protocol.identity.Endpoint;
import java.io.IOException;
import java.net.InetSocketAddress;
import java.net.StandardProtocolFamily;
import java.net.StandardSocketOptions;
import java.net.UnixDomainSocketAddress;
import java.nio.channels.ServerSocketChannel;
import java.nio.channels.SocketChannel;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.Future;

/** Accepts connections and keeps the bounds on them. */
final class Listener implements AutoCloseable {

    private static final int BACKLOG = 1024;

    /** Connections without a hello yet; the oldest makes room for who comes. */
    private static final int MOST_UNKNOWN = 64;

    private static final long PAUSE_MILLIS = 50;

    private final Core core;
    private final PlaneThreads threads;
    private final List<ServerSocketChannel> servers = new ArrayList<>();
    private final Endpoint endpoint;
    private final Map<Inbound, Optional<Future<?>>> connections = new LinkedHashMap<>();
    private int unknown;
    private boolean closed;

    Listener(Core core, PlaneThreads threads) throws IOException {
        this.core = core;
        this.threads = threads;
        boolean good = false;
        try {
            this.endpoint = bind(core.settings());
            good = true;
        } finally {
            if (!good) {
                closeServers();
                threads.close();
            }
        }
    }

    private Endpoint bind(SocketSettings settings) throws IOException {
        ServerSocketChannel tcp = ServerSocketChannel.open(StandardProtocolFamily.INET);
        servers.add(tcp);
        tcp.setOption(StandardSocketOptions.SO_RCVBUF, SocketDataPlane.SOCKET_BUFFER);
        InetSocketAddress host = new InetSocketAddress(settings.host(), 0);
        if (host.isUnresolved() || host.getAddress().isAnyLocalAddress()) {
            throw new IOException("not an address others can reach");
        }
        tcp.bind(host, BACKLOG);
        Optional<String> path = Optional.empty();
        if (settings.socketFolder().isPresent()) {
            path = SocketFile.in(settings.socketFolder().get(), settings.incarnation());
            if (path.isPresent()) {
                SocketFile.remove(path.get());
                ServerSocketChannel unix = ServerSocketChannel.open(StandardProtocolFamily.UNIX);
                servers.add(unix);
                unix.bind(UnixDomainSocketAddress.of(path.get()), BACKLOG);
            }
        }
        return new Endpoint(
                settings.host(), ((InetSocketAddress) tcp.getLocalAddress()).getPort(), path);
    }

    Endpoint endpoint() {
        return endpoint;
    }

    /** Begins to accept. */
    void start() {
        for (ServerSocketChannel server : servers) {
            threads.start("accept", () -> accept(server));
        }
    }

    private void accept(ServerSocketChannel server) {
        while (server.isOpen()) {
            try {
                admit(server.accept());
            } catch (IOException e) {
                // closed, or no file descriptor is left: then others may end meanwhile
                pause();
            }
        }
    }

    private synchronized void pause() {
        long end = System.nanoTime() + PAUSE_MILLIS * 1_000_000;
        try {
            while (!closed && end - System.nanoTime() > 0) {
                wait(PAUSE_MILLIS);
            }
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
        }
    }

    private synchronized void admit(SocketChannel channel) {
        Inbound connection = new Inbound(core, channel);
        int most = core.settings().bounds().connections();
        if (unknown >= MOST_UNKNOWN || connections.size() >= most) {
            dropOldestUnknown();
        }
        if (closed || connections.size() >= most) {
            core.tallies().refused.increment();
            connection.close();
            return;
        }
        unknown++;
        connections.put(connection, Optional.of(threads.later(
                core.settings().deadlines().hello().toNanos(), () -> expire(connection))));
        threads.start("from", connection);
    }

    private void dropOldestUnknown() {
        connections.entrySet().stream().filter(entry -> entry.getValue().isPresent())
                .map(Map.Entry::getKey).findFirst().ifPresent(oldest -> {
                    ended(oldest);
                    oldest.expire(); // its thread counts it when it sees its end
                });
    }

    private synchronized void expire(Inbound connection) {
        if (connections.getOrDefault(connection, Optional.empty()).isPresent()) {
            connection.expire();
        }
    }

    /** The hello of a connection fits. */
    synchronized void greeted(Inbound connection) {
        Optional<Future<?>> timer = connections.replace(connection, Optional.empty());
        if (timer != null && timer.isPresent()) {
            timer.get().cancel(false);
            unknown--;
        }
    }

    /** A connection ended. */
    synchronized void ended(Inbound connection) {
        greeted(connection);
        connections.remove(connection);
    }

    private void closeServers() {
        servers.forEach(Bytes::closeQuietly);
    }

    @Override
    public void close() {
        synchronized (this) {
            closed = true;
            connections.keySet().forEach(Inbound::close);
            notifyAll();
        }
        closeServers();
        endpoint.socket().ifPresent(path -> {
            try {
                SocketFile.remove(path);
            } catch (IOException e) {
                // the next process of that name replaces it
            }
        });
    }
}
