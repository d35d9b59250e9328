package castalia.workers.exchange.socket;

import castalia.protocol.identity.Endpoint;
import castalia.protocol.identity.Fence;
import castalia.protocol.identity.Incarnation;
import castalia.protocol.identity.Member;
import castalia.workers.exchange.FrameTag;
import castalia.workers.exchange.socket.Hello.Role;
import java.io.IOException;
import java.lang.foreign.MemorySegment;
import java.net.InetAddress;
import java.net.ServerSocket;
import java.net.Socket;
import java.nio.ByteBuffer;
import java.util.Optional;

/** A peer that writes what a test wants, at a plane's TCP port. */
final class RawPeer implements AutoCloseable {

    static final Incarnation LIFE = new Incarnation(0xBAD);

    /** Of how many ranks its generations are said to be: with more than 2 a loop reads what it sends. */
    static volatile int ranks = 2;

    private final Planes planes;
    private final int target;
    private final ServerSocket server;
    private final Socket socket;

    RawPeer(Planes planes, int target) throws IOException {
        this.planes = planes;
        this.target = target;
        Endpoint at = planes.all.get(target).endpoint();
        this.server = new ServerSocket(0, 5, InetAddress.getLoopbackAddress());
        this.socket = new Socket(at.host(), at.port());
    }

    /** As others know it; connections to it wait to be accepted. */
    Member member() {
        return Planes.member(
                LIFE, 7, new Endpoint("127.0.0.1", server.getLocalPort(), Optional.empty()));
    }

    void write(byte[] bytes) throws IOException {
        socket.getOutputStream().write(bytes);
    }

    void hello() throws IOException {
        write(hello(Planes.RUN, LIFE, planes.members.get(target).incarnation()));
    }

    /** Says that it asks for weights. */
    void helloToFetch() throws IOException {
        write(hello(Role.FETCH, Planes.RUN, LIFE, planes.members.get(target).incarnation()));
    }

    static byte[] hello(String run, Incarnation from, Incarnation to) {
        return hello(Role.MEMBER, run, from, to);
    }

    private static byte[] hello(Role role, String run, Incarnation from, Incarnation to) {
        ByteBuffer bytes = ByteBuffer.allocate(Hello.BYTES);
        new Hello(role, run, from, to, ranks).encode(bytes);
        return bytes.array();
    }

    byte[] frame(Fence fence, int chunk, MemorySegment payload) {
        return frame(fence, Planes.tag(fence, chunk), payload);
    }

    byte[] frame(Fence fence, FrameTag tag, MemorySegment payload) {
        return frame(fence, tag, 0, payload);
    }

    /** One piece of a payload, with some left. */
    byte[] frame(Fence fence, FrameTag tag, int left, MemorySegment payload) {
        ByteBuffer bytes =
                ByteBuffer.allocate(FrameHeader.BYTES + (int) payload.byteSize());
        new FrameHeader.Data(LIFE, fence.term(), tag, left,
                (int) payload.byteSize(), Bytes.crc(payload.asByteBuffer())).encode(bytes);
        bytes.put(payload.asByteBuffer());
        return bytes.array();
    }

    /** Whether the plane has ended the connection; waits for that. */
    boolean isCut() throws IOException {
        socket.setSoTimeout(150_000);
        try {
            return socket.getInputStream().read() < 0;
        } catch (java.net.SocketTimeoutException e) {
            return false;
        } catch (IOException e) {
            return true; // reset, since unread bytes were left
        }
    }

    /** The next connection of a plane to this peer, after its hello. */
    Socket accepted() throws IOException {
        Socket accepted = server.accept();
        accepted.getInputStream().readNBytes(Hello.BYTES);
        return accepted;
    }

    void disconnect() throws IOException {
        socket.close();
    }

    FrameHeader answer() throws IOException {
        return FrameHeader.decode(
                ByteBuffer.wrap(socket.getInputStream().readNBytes(FrameHeader.BYTES)), 0);
    }

    @Override
    public void close() throws IOException {
        socket.close();
        server.close();
    }
}
