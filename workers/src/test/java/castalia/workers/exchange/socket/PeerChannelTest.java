package castalia.workers.exchange.socket;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import castalia.protocol.identity.Fence;
import castalia.protocol.identity.Incarnation;
import java.io.IOException;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.net.SocketAddress;
import java.net.StandardProtocolFamily;
import java.net.UnixDomainSocketAddress;
import java.nio.ByteBuffer;
import java.nio.channels.ServerSocketChannel;
import java.nio.channels.SocketChannel;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.Executor;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

/** What a connection does with frames and answers, over both kinds of sockets. */
@Timeout(60)
class PeerChannelTest {

    private static final int MORE_THAN_A_SOCKET_HOLDS = 32 << 20;
    private static final Incarnation PEER = new Incarnation(0xABC);
    private static final Executor THREADS = run -> {
        Thread thread = new Thread(run, "peer-channel-test");
        thread.setDaemon(true);
        thread.start();
    };

    @TempDir Path temporary;

    private final List<Long> answers = new ArrayList<>();
    private final List<AutoCloseable> open = new ArrayList<>();
    private SocketChannel peer;

    private PeerChannel connect(StandardProtocolFamily family) throws IOException {
        ServerSocketChannel server = keep(ServerSocketChannel.open(family));
        SocketAddress address = family == StandardProtocolFamily.UNIX
                ? UnixDomainSocketAddress.of(temporary.resolve("s"))
                : new InetSocketAddress(InetAddress.getLoopbackAddress(), 0);
        server.bind(address);
        SocketChannel made = PeerChannel.unconnected(server.getLocalAddress());
        made.connect(server.getLocalAddress());
        peer = keep(server.accept());
        return keep(new PeerChannel(made, answer -> {
            if (!(FrameHeader.decode(answer, 0) instanceof FrameHeader.Stale stale)) {
                throw new RefusedException("no answer");
            }
            answers.add(stale.fence().generation());
        }));
    }

    private <T extends AutoCloseable> T keep(T one) {
        open.addFirst(one);
        return one;
    }

    @AfterEach
    void closeAll() throws Exception {
        for (AutoCloseable one : open) {
            one.close();
        }
    }

    private static ByteBuffer answer(long generation) {
        ByteBuffer answer = ByteBuffer.allocate(FrameHeader.BYTES);
        new FrameHeader.Stale(PEER, new Fence(1, generation)).encode(answer);
        return answer.flip();
    }

    private long readAll(int count) {
        ByteBuffer into = ByteBuffer.allocateDirect(count);
        long sum = 0;
        try {
            while (into.hasRemaining() && peer.read(into) >= 0) {
                // goes on
            }
        } catch (IOException e) {
            throw new IllegalStateException(e);
        }
        into.flip();
        while (into.hasRemaining()) {
            sum = sum * 31 + into.get();
        }
        return sum;
    }

    @ParameterizedTest
    @EnumSource(names = {"UNIX", "INET"})
    void allIsWrittenInOrderAndAnswersAreTakenWhileAWriteWaits(StandardProtocolFamily family)
            throws Exception {
        PeerChannel channel = connect(family);
        ByteBuffer head = ByteBuffer.allocateDirect(1000);
        ByteBuffer body = ByteBuffer.allocateDirect(MORE_THAN_A_SOCKET_HOLDS);
        long sum = 0;
        for (ByteBuffer each : List.of(head, body)) {
            for (int i = 0; i < each.capacity(); i++) {
                each.put(i, (byte) (i * 7 + i / 1000));
                sum = sum * 31 + each.get(i);
            }
        }
        peer.write(answer(5));
        peer.write(answer(6));
        CompletableFuture<Long> read = CompletableFuture.supplyAsync(
                () -> readAll(1000 + MORE_THAN_A_SOCKET_HOLDS), THREADS);
        channel.write(head, body);
        assertThat(read.get(30, TimeUnit.SECONDS)).isEqualTo(sum);
        assertThat(channel.look()).isTrue();
        assertThat(answers).containsExactly(5L, 6L);
    }

    @ParameterizedTest
    @EnumSource(names = {"UNIX", "INET"})
    void aWriteThatWaitsEndsWhenTheConnectionIsEnded(StandardProtocolFamily family) throws Exception {
        PeerChannel channel = connect(family);
        CompletableFuture<Void> end = CompletableFuture.runAsync(channel::end,
                CompletableFuture.delayedExecutor(200, TimeUnit.MILLISECONDS, THREADS));
        assertThatThrownBy(() -> channel.write(ByteBuffer.allocateDirect(MORE_THAN_A_SOCKET_HOLDS)))
                .isInstanceOf(IOException.class);
        end.get(30, TimeUnit.SECONDS);
        assertThat(channel.isOpen()).isFalse();
    }

    @ParameterizedTest
    @EnumSource(names = {"UNIX", "INET"})
    void aPeerThatIsGoneEndsAWriteAndWhatItSaidBeforeIsHeard(StandardProtocolFamily family)
            throws Exception {
        PeerChannel channel = connect(family);
        peer.write(answer(9));
        peer.shutdownOutput();
        assertThatThrownBy(() -> channel.write(ByteBuffer.allocateDirect(MORE_THAN_A_SOCKET_HOLDS)))
                .isInstanceOf(IOException.class);
        assertThat(answers).containsExactly(9L);
        assertThat(channel.isOpen()).isFalse();
    }

    @ParameterizedTest
    @EnumSource(names = {"UNIX", "INET"})
    void aWaitEndsWithAnAnswerAWakeAndThePeersEnd(StandardProtocolFamily family) throws Exception {
        PeerChannel channel = connect(family);
        peer.write(answer(3));
        channel.await();
        assertThat(answers).containsExactly(3L);
        channel.wake(); // before the wait: it is not lost
        channel.await();
        assertThat(channel.isOpen()).isTrue();
        peer.close();
        channel.await();
        assertThat(channel.isOpen()).isFalse();
    }

    @ParameterizedTest
    @EnumSource(names = {"UNIX", "INET"})
    void manyAnswersAreTakenABoundedNumberAtATimeAndNoneIsLost(StandardProtocolFamily family)
            throws Exception {
        PeerChannel channel = connect(family);
        List<Long> said = new ArrayList<>();
        for (long i = 0; i < 100; i++) {
            said.add(i);
            peer.write(answer(i));
        }
        channel.await();
        assertThat(answers).hasSizeBetween(1, 99);
        for (int i = 0; i < 100 && answers.size() < 100; i++) {
            channel.await();
        }
        assertThat(answers).isEqualTo(said);
    }

    @ParameterizedTest
    @EnumSource(names = {"UNIX", "INET"})
    void halfAnAnswerIsKeptAndGarbageEndsIt(StandardProtocolFamily family) throws Exception {
        PeerChannel channel = connect(family);
        ByteBuffer whole = answer(4);
        peer.write(whole.slice(0, 10));
        channel.await();
        assertThat(answers).isEmpty();
        peer.write(whole.slice(10, FrameHeader.BYTES - 10));
        channel.await();
        assertThat(answers).containsExactly(4L);
        peer.write(ByteBuffer.allocate(FrameHeader.BYTES));
        channel.await();
        assertThat(channel.look()).isFalse();
    }
}
