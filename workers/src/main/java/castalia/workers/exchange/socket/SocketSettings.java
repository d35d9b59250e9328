package castalia.workers.exchange.socket;

import castalia.protocol.identity.Endpoint;
import castalia.protocol.identity.Fence;
import castalia.protocol.identity.Incarnation;
import castalia.protocol.identity.Member;
import java.net.InetSocketAddress;
import java.net.SocketAddress;
import java.net.UnixDomainSocketAddress;
import java.time.Duration;
import java.util.Optional;
import java.util.function.Consumer;

/**
 * What a {@link SocketDataPlane} needs to know.
 *
 * @param run SHA-256 of the run's specification, 64 hexadecimal digits; others are refused
 * @param incarnation this process
 * @param node its node; workers of the same node are reached over their Unix domain socket
 * @param host address it listens at and others reach it at; no wildcard
 * @param socketFolder where its Unix domain socket lies; none if the path would be too long
 * @param bounds how much it accepts
 * @param deadlines how long it waits
 * @param onStale told, from a thread of the plane, when a peer knows a newer fence than the one
 *     raised here; once per fence
 */
public record SocketSettings(
        String run,
        Incarnation incarnation,
        String node,
        String host,
        Optional<String> socketFolder,
        Bounds bounds,
        Deadlines deadlines,
        Consumer<Fence> onStale) {

    public SocketSettings {
        if (!run.matches("[0-9a-f]{64}")) {
            throw new IllegalArgumentException("run hash '" + run + "'");
        }
        if (node.isBlank() || host.isBlank()) {
            throw new IllegalArgumentException("node '" + node + "', host '" + host + "'");
        }
    }

    /** Loopback, no Unix domain socket, default bounds and deadlines. */
    public static SocketSettings of(
            String run, Incarnation incarnation, String node, Consumer<Fence> onStale) {
        return new SocketSettings(run, incarnation, node, "127.0.0.1", Optional.empty(),
                Bounds.DEFAULT, Deadlines.DEFAULT, onStale);
    }

    /** Where a peer is reached from here. */
    SocketAddress address(Member peer) {
        Endpoint at = peer.endpoint();
        return at.socket().isPresent() && peer.node().equals(node)
                ? UnixDomainSocketAddress.of(at.socket().get())
                : new InetSocketAddress(at.host(), at.port());
    }

    public SocketSettings withHost(String host) {
        return new SocketSettings(
                run, incarnation, node, host, socketFolder, bounds, deadlines, onStale);
    }

    public SocketSettings withSocketFolder(String folder) {
        return new SocketSettings(
                run, incarnation, node, host, Optional.of(folder), bounds, deadlines, onStale);
    }

    public SocketSettings withBounds(Bounds bounds) {
        return new SocketSettings(
                run, incarnation, node, host, socketFolder, bounds, deadlines, onStale);
    }

    public SocketSettings withDeadlines(Deadlines deadlines) {
        return new SocketSettings(
                run, incarnation, node, host, socketFolder, bounds, deadlines, onStale);
    }

    /**
     * How much memory others can make this process use. Buffers come in powers of two, from 4 KiB;
     * what counts is the buffer, not the payload.
     *
     * @param frameBytes longest payload, at most 1 GiB
     * @param earlyBytes buffers of frames that came before anybody waited for them; where they are full
     *     no more is read until some are taken
     * @param feedBytes buffers of frames offered and not yet written, per receiver; and buffers of
     *     frames for this worker not yet taken
     * @param connections most connections of others to this process
     */
    public record Bounds(int frameBytes, long earlyBytes, long feedBytes, int connections) {

        /** 256 MiB per frame, 4 GiB early, 1 GiB of feeds, 4096 connections. */
        public static final Bounds DEFAULT = new Bounds(1 << 28, 4L << 30, 1L << 30, 4096);

        public Bounds {
            if (frameBytes < 1 || frameBytes > 1 << 30) {
                throw new IllegalArgumentException("longest payload of " + frameBytes + " bytes");
            }
            long buffer = FramePool.bufferBytes(frameBytes);
            if (earlyBytes < buffer || feedBytes < buffer) {
                throw new IllegalArgumentException("early " + earlyBytes + " and feeds " + feedBytes
                        + " must have room for a frame of " + buffer + " bytes");
            }
            if (connections < 1) {
                throw new IllegalArgumentException(connections + " connections");
            }
        }
    }

    /**
     * How long it waits.
     *
     * @param hello for the first bytes of a connection
     * @param connect for a peer that does not accept a first connection; once more where that ends an
     *     attempt, since this process may have stood still meanwhile
     * @param peer for a frame or its receipt, after which the wait fails for good
     */
    public record Deadlines(Duration hello, Duration connect, Duration peer) {

        /** 5 s, 2 s and 30 min. */
        public static final Deadlines DEFAULT = new Deadlines(
                Duration.ofSeconds(5), Duration.ofSeconds(2), Duration.ofMinutes(30));

        public Deadlines {
            if (!hello.isPositive() || !connect.isPositive() || !peer.isPositive()) {
                throw new IllegalArgumentException(
                        "deadlines " + hello + ", " + connect + ", " + peer);
            }
        }
    }
}
