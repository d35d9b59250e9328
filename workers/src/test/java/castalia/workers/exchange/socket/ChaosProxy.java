package castalia.workers.exchange.socket;

import castalia.protocol.identity.Endpoint;
import castalia.protocol.identity.Incarnation;
import java.io.IOException;
import java.net.InetSocketAddress;
import java.net.SocketAddress;
import java.net.StandardProtocolFamily;
import java.net.StandardSocketOptions;
import java.net.UnixDomainSocketAddress;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.channels.ServerSocketChannel;
import java.nio.channels.SocketChannel;
import java.nio.file.Path;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.Optional;
import java.util.Random;
import java.util.Set;
import java.util.concurrent.locks.LockSupport;

/**
 * Stands before a plane's listener: passes on what others send to it, frame by frame, and once in a
 * while does something to a frame.
 */
public final class ChaosProxy implements AutoCloseable {

    private record Origin(Hello.Role role, long sender, long generation) {

        static Origin of(Hello.Role role, ByteBuffer frame) {
            return new Origin(role, frame.getLong(SENDER_AT), frame.getLong(GENERATION_AT));
        }
    }

    /** Connections that something happens to. */
    public enum Lane {
        /** Any. */
        ANY,
        /** Those for requests for weights and their answers. */
        WEIGHTS
    }

    /** What can happen. */
    public enum Fault {
        /** A bit of a frame's header is flipped. */
        FLIPPED_HEADER,
        /** A bit of its payload is flipped. */
        FLIPPED_PAYLOAD,
        /** The connection ends within a frame. */
        HALF_A_FRAME,
        /** The connection ends between two frames. */
        CUT,
        /** Bytes that mean nothing stand before a frame. */
        GARBAGE,
        /** Nothing of the connection is passed on any more, nor does it end. */
        STALL,
        /** A frame comes twice. */
        TWICE,
        /** A frame of long ago comes once more. */
        REPLAYED,
        /** A frame of another generation comes once more. */
        OLD_GENERATION,
        /** A frame comes late. */
        LATE;

        /** Whether training goes on in the same generation. */
        public boolean harmless() {
            return switch (this) {
                case TWICE, REPLAYED, OLD_GENERATION, LATE -> true;
                case FLIPPED_HEADER, FLIPPED_PAYLOAD, HALF_A_FRAME, CUT, GARBAGE, STALL -> false;
            };
        }
    }

    private static final int LENGTH_AT = 52;
    private static final int GENERATION_AT = 24;
    private static final int SENDER_AT = 8;

    private final ServerSocketChannel server;
    private final SocketAddress target;
    private final Endpoint endpoint;
    private final Random random;
    private final Set<SocketChannel> open = new HashSet<>();
    /** The first frame of each generation and sender, by kind of connection. */
    private final Map<Origin, ByteBuffer> first = new LinkedHashMap<>();
    private Optional<Fault> armed = Optional.empty();
    private int framesUntil;
    private Lane lane = Lane.ANY;
    private Optional<Incarnation> struck = Optional.empty();

    /**
     * Before a plane.
     *
     * @param socketFolder where it listens at a Unix domain socket, as the plane does; else at a port
     */
    public ChaosProxy(Endpoint plane, Optional<Path> socketFolder, long seed) throws IOException {
        this.random = new Random(seed);
        if (socketFolder.isPresent()) {
            Path path = socketFolder.get().resolve("p" + seed);
            this.server = ServerSocketChannel.open(StandardProtocolFamily.UNIX);
            this.server.bind(UnixDomainSocketAddress.of(path));
            this.target = UnixDomainSocketAddress.of(plane.socket().orElseThrow());
            this.endpoint = new Endpoint(plane.host(), plane.port(), Optional.of(path.toString()));
        } else {
            this.server = ServerSocketChannel.open(StandardProtocolFamily.INET);
            this.server.bind(new InetSocketAddress(plane.host(), 0));
            this.target = new InetSocketAddress(plane.host(), plane.port());
            this.endpoint = new Endpoint(plane.host(),
                    ((InetSocketAddress) server.getLocalAddress()).getPort(), Optional.empty());
        }
        start(this::accept);
    }

    /** Where others find the plane. */
    public Endpoint endpoint() {
        return endpoint;
    }

    /** After so many frames of some connections something happens, once. */
    public synchronized void arm(Fault fault, Lane of, int frames) {
        lane = of;
        armed = Optional.of(fault);
        framesUntil = frames;
        struck = Optional.empty();
    }

    /** Whose frame it happened to, when it has happened. */
    public synchronized Optional<Incarnation> struck() {
        return struck;
    }

    private synchronized Optional<Fault> passing(Hello from, ByteBuffer header) {
        boolean strikes = armed.isPresent()
                && (lane == Lane.ANY || from.role() == Hello.Role.FETCH) && --framesUntil < 0
                && (armed.get() != Fault.OLD_GENERATION
                || ofAnother(from.role(), header).isPresent());
        if (!strikes) {
            return Optional.empty();
        }
        Optional<Fault> now = armed;
        armed = Optional.empty();
        struck = Optional.of(from.sender());
        return now;
    }

    private synchronized ByteBuffer first(Hello.Role role, ByteBuffer frame) {
        return first.computeIfAbsent(Origin.of(role, frame), _ -> frame);
    }

    /** A frame of the same sender and an older generation. */
    private synchronized Optional<ByteBuffer> ofAnother(Hello.Role role, ByteBuffer frame) {
        Origin now = Origin.of(role, frame);
        return first.entrySet().stream()
                .filter(e -> e.getKey().role() == role && e.getKey().sender() == now.sender()
                        && e.getKey().generation() < now.generation())
                .map(Map.Entry::getValue).findFirst();
    }

    private synchronized int random(int bound) {
        return random.nextInt(bound);
    }

    private static void start(Runnable body) {
        Thread thread = new Thread(body, "chaos");
        thread.setDaemon(true);
        thread.start();
    }

    private void accept() {
        try {
            while (true) {
                connect(server.accept());
            }
        } catch (IOException e) {
            // closed
        }
    }

    private void connect(SocketChannel from) {
        synchronized (this) {
            open.add(from);
        }
        try {
            SocketChannel to = SocketChannel.open(target);
            if (target instanceof InetSocketAddress) {
                from.setOption(StandardSocketOptions.TCP_NODELAY, true);
                to.setOption(StandardSocketOptions.TCP_NODELAY, true);
            }
            synchronized (this) {
                open.add(to);
            }
            start(() -> frames(from, to));
            start(() -> answers(to, from));
        } catch (IOException e) {
            end(from, from); // the plane is gone
        }
    }

    private void answers(SocketChannel from, SocketChannel to) {
        ByteBuffer bytes = ByteBuffer.allocateDirect(FrameHeader.BYTES);
        try {
            while (from.read(bytes.clear()) >= 0) {
                Bytes.write(to, bytes.flip());
            }
        } catch (IOException e) {
            // as good as an end
        } finally {
            end(from, to);
        }
    }

    private void frames(SocketChannel from, SocketChannel to) {
        ByteBuffer greeting = ByteBuffer.allocateDirect(Hello.BYTES);
        boolean stalled = false;
        try {
            if (Bytes.readIfAny(from, greeting)) {
                Hello hello = Hello.decode(greeting.duplicate());
                greeting.rewind();
                Bytes.write(to, greeting);
                ByteBuffer frame = next(from);
                while (frame != null && !stalled) {
                    stalled = pass(hello, frame, to);
                    first(hello.role(), frame);
                    frame = stalled ? null : next(from);
                }
            }
        } catch (IOException e) {
            // as good as an end
        } finally {
            if (!stalled) {
                end(from, to);
            }
        }
    }

    private static ByteBuffer next(SocketChannel from) throws IOException {
        ByteBuffer header = ByteBuffer.allocate(FrameHeader.BYTES);
        if (!Bytes.readIfAny(from, header)) {
            return null;
        }
        header.order(ByteOrder.LITTLE_ENDIAN);
        ByteBuffer frame = ByteBuffer.allocate(FrameHeader.BYTES + header.getInt(LENGTH_AT))
                .order(ByteOrder.LITTLE_ENDIAN);
        frame.put(header.rewind());
        while (frame.hasRemaining()) {
            if (from.read(frame) < 0) {
                throw new IOException("cut off");
            }
        }
        return frame.flip();
    }

    /** Passes a frame on, or what becomes of it; returns whether nothing may follow. */
    private boolean pass(Hello from, ByteBuffer frame, SocketChannel to) throws IOException {
        Optional<Fault> fault = passing(from, frame);
        if (fault.isEmpty()) {
            write(to, frame);
            return false;
        }
        int payload = frame.limit() - FrameHeader.BYTES;
        switch (fault.get()) {
            case FLIPPED_HEADER -> write(to, flipped(frame, random(FrameHeader.BYTES * 8)));
            case FLIPPED_PAYLOAD -> write(to, flipped(frame,
                    payload == 0 ? 0 : FrameHeader.BYTES * 8 + random(payload * 8)));
            case HALF_A_FRAME -> {
                write(to, frame.slice(0, 1 + random(frame.limit() - 1)));
                throw new IOException("half a frame");
            }
            case CUT -> throw new IOException("cut");
            case GARBAGE -> {
                byte[] garbage = new byte[1 + random(300)];
                random.nextBytes(garbage);
                write(to, ByteBuffer.wrap(garbage));
                write(to, frame);
            }
            case STALL -> {
                return true;
            }
            case TWICE -> {
                write(to, frame);
                write(to, frame);
            }
            case REPLAYED -> {
                write(to, frame);
                write(to, first(from.role(), frame));
            }
            case OLD_GENERATION -> {
                write(to, ofAnother(from.role(), frame).orElseThrow());
                write(to, frame);
            }
            case LATE -> {
                LockSupport.parkNanos((50 + random(300)) * 1_000_000L);
                write(to, frame);
            }
        }
        return false;
    }

    private static ByteBuffer flipped(ByteBuffer frame, int bit) {
        ByteBuffer copy = ByteBuffer.allocate(frame.limit()).put(frame.duplicate()).flip();
        return copy.put(bit / 8, (byte) (copy.get(bit / 8) ^ 1 << bit % 8));
    }

    private static void write(SocketChannel to, ByteBuffer frame) throws IOException {
        ByteBuffer rest = frame.duplicate().rewind();
        while (rest.hasRemaining()) {
            to.write(rest);
        }
    }

    private synchronized void end(SocketChannel one, SocketChannel other) {
        for (SocketChannel channel : new SocketChannel[] {one, other}) {
            open.remove(channel);
            Bytes.closeQuietly(channel);
        }
    }

    @Override
    public synchronized void close() {
        Bytes.closeQuietly(server);
        open.forEach(Bytes::closeQuietly);
        open.clear();
    }
}
