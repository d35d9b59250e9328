package castalia.actors.heartbeat;

import castalia.protocol.CastaliaException;
import castalia.protocol.ErrorCode;
import castalia.protocol.control.Heartbeat.Ping;
import castalia.protocol.control.Heartbeat.Pong;
import castalia.protocol.identity.Claimant;
import castalia.protocol.identity.Incarnation;
import castalia.protocol.wire.HeartbeatCodec;
import castalia.protocol.wire.MalformedMessageException;
import java.io.EOFException;
import java.io.IOException;
import java.net.InetAddress;
import java.net.ServerSocket;
import java.net.Socket;
import java.net.SocketException;
import java.net.SocketTimeoutException;
import java.time.Duration;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Set;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.LongAdder;
import java.util.function.Consumer;

/**
 * Tells other candidates whether this process coordinates, and asks others. A process that ends
 * closes its connections, which the other end sees in milliseconds; one that hangs does not answer.
 * Akka's failure detector is patient and has no part in this. Answers come from threads of their
 * own, but say that this process leads only as long as its coordinator's actor works.
 */
public final class Heartbeats implements AutoCloseable {

    /** Connections that have asked this process; no more are answered. */
    private static final int MOST_WATCHERS = 64;

    /** Connections that have asked nothing yet; the oldest makes room for who comes. */
    private static final int MOST_STRANGERS = 64;

    private static final int BACKLOG = 64;
    private static final Duration STRANGE = Duration.ofSeconds(5);
    private static final Duration IDLE = Duration.ofSeconds(30);

    /** How long an answer may wait for the other side to read. */
    private static final Duration WRITE = Duration.ofSeconds(1);

    private static final int SWEEP_MILLIS = 200;
    private static final long PAUSE_MILLIS = 50;

    private final Incarnation self;
    private final Pace pace;
    private final ServerSocket server;
    private final Set<Connection> connections = new LinkedHashSet<>();
    private final LongAdder refused = new LongAdder();
    private final CountDownLatch closed = new CountDownLatch(1);
    private volatile Beat last = new Beat(0, 0);

    private record Beat(long term, long nanos) {}

    /** A watch over a coordinator, which ends with its first {@link Lost} or when closed. */
    public interface Watch extends AutoCloseable {
        @Override
        void close();
    }

    /** A coordinator that was watched is lost; {@code how} says why. */
    public record Lost(long term, String how) {}

    private Heartbeats(Incarnation self, Pace pace, ServerSocket server) {
        this.self = self;
        this.pace = pace;
        this.server = server;
    }

    /**
     * Listens on a free port.
     *
     * @throws CastaliaException if it cannot listen at {@code host}
     */
    public static Heartbeats open(String host, Incarnation self, Pace pace) {
        try {
            ServerSocket server = new ServerSocket(0, BACKLOG, InetAddress.getByName(host));
            Heartbeats heartbeats = new Heartbeats(self, pace, server);
            Thread.ofVirtual().name("heartbeat-accept").start(heartbeats::accept);
            return heartbeats;
        } catch (IOException e) {
            throw new CastaliaException(ErrorCode.CONFIG_INVALID,
                    "cannot listen for heartbeats on " + host + ": " + e.getMessage(), e);
        }
    }

    /** Where it listens. */
    public int port() {
        return server.getLocalPort();
    }

    /** Called by the coordinator's actor again and again while it leads. */
    public void beat(long term) {
        last = new Beat(term, System.nanoTime());
    }

    /** This process leads no more. */
    public void rest() {
        last = new Beat(0, 0);
    }

    /** What this process leads, 0 for nothing. */
    private long leads() {
        Beat beat = last;
        return System.nanoTime() - beat.nanos() < pace.beat().toNanos() ? beat.term() : 0;
    }

    /** Whether this process leads and no other candidate has asked for it lately. */
    public boolean leadsUnwatched() {
        long since = System.nanoTime() - pace.interval().multipliedBy(5).toNanos();
        synchronized (connections) {
            return leads() != 0 && connections.stream()
                    .noneMatch(connection -> connection.asked && connection.askedAt - since >= 0);
        }
    }

    /**
     * Watches who claimed a term.
     *
     * @param onLost told once, by a thread of the watch
     */
    public Watch watch(long term, Claimant leader, Consumer<Lost> onLost) {
        return LeaderWatch.start(term, leader, pace, onLost);
    }

    /** Connections ended from here: too many, too late, or not of this protocol. */
    long refused() {
        return refused.sum();
    }

    private void accept() {
        while (!server.isClosed()) {
            try {
                server.setSoTimeout(SWEEP_MILLIS);
                Connection connection = new Connection(server.accept());
                if (enter(connection)) {
                    Thread.ofVirtual().name("heartbeat-answer").start(() -> answer(connection));
                }
            } catch (SocketTimeoutException e) {
                // nobody came
            } catch (IOException e) {
                pause(); // closed, or no file descriptor is left: then others may end meanwhile
            }
            sweep();
        }
    }

    private void pause() {
        try {
            if (closed.await(PAUSE_MILLIS, TimeUnit.MILLISECONDS)) {
                return;
            }
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
        }
    }

    /** A connection of another process to this one. */
    private static final class Connection {

        private final Socket socket;
        private volatile boolean asked;
        private volatile long askedAt;
        /** When it is ended unless it does what it is to do next. */
        private volatile long end;

        Connection(Socket socket) {
            this.socket = socket;
            this.end = System.nanoTime() + STRANGE.toNanos();
        }

        void asks() {
            askedAt = System.nanoTime();
            asked = true;
            allow(WRITE);
        }

        void allow(Duration time) {
            end = System.nanoTime() + time.toNanos();
        }
    }

    private boolean enter(Connection connection) {
        synchronized (connections) {
            if (closed.getCount() == 0) {
                close(connection.socket);
                return false;
            }
            List<Connection> strangers =
                    connections.stream().filter(other -> !other.asked).toList();
            if (strangers.size() >= MOST_STRANGERS) {
                refuse(strangers.getFirst());
            }
            connections.add(connection);
            return true;
        }
    }

    private void refuse(Connection connection) {
        connections.remove(connection);
        refused.increment();
        close(connection.socket);
    }

    private void sweep() {
        long now = System.nanoTime();
        synchronized (connections) {
            connections.stream().filter(connection -> connection.end - now <= 0).toList()
                    .forEach(this::refuse);
        }
    }

    private void answer(Connection connection) {
        Socket socket = connection.socket;
        try (socket) {
            socket.setTcpNoDelay(true);
            while (true) {
                Ping ping = HeartbeatCodec.decodePing(Frames.read(socket));
                if (!ping.to().equals(self)) {
                    throw new IOException("a heartbeat for another process");
                }
                asks(connection);
                Frames.write(socket,
                        HeartbeatCodec.encode(new Pong(self, ping.sequence(), leads())));
                connection.allow(IDLE);
            }
        } catch (EOFException | SocketException e) {
            // whoever asked is gone, or it was ended here and counted
        } catch (IOException | MalformedMessageException e) {
            refused.increment();
        } finally {
            synchronized (connections) {
                connections.remove(connection);
            }
        }
    }

    private void asks(Connection connection) {
        boolean first = !connection.asked;
        connection.asks();
        if (first) {
            synchronized (connections) {
                if (connections.stream().filter(other -> other.asked).count() > MOST_WATCHERS) {
                    refuse(connection);
                }
            }
        }
    }

    static void close(Socket connection) {
        try {
            connection.close();
        } catch (IOException e) {
            // it is of no use any more
        }
    }

    /** Ends all connections, which others take for this process's end. */
    @Override
    public void close() {
        closed.countDown();
        try {
            server.close();
        } catch (IOException e) {
            // it listens no more
        }
        synchronized (connections) {
            connections.forEach(connection -> close(connection.socket));
        }
    }
}
