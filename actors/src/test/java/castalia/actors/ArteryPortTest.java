package castalia.actors;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import castalia.actors.message.NodeSnapshot.TrafficView;
import castalia.actors.tls.Credential;
import castalia.actors.tls.FirstMeeting;
import castalia.protocol.CastaliaException;
import java.io.IOException;
import java.net.InetAddress;
import java.net.Socket;
import java.net.SocketTimeoutException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.security.cert.X509Certificate;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Random;
import java.util.function.Function;
import javax.net.ssl.SSLException;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

/** What strangers do to the port of the actors: two nodes talk on beside them. */
@Tag("default")
@Timeout(90)
class ArteryPortTest {

    private static final byte[] MAGIC = {'A', 'K', 'K', 'A'};
    private static final int MOST_STRANGERS = 128;

    @SuppressWarnings("NullAway.Init") // set before all tests
    private static ClusterProcess node;

    @SuppressWarnings("NullAway.Init") // set before all tests
    private static ClusterProcess other;

    private final List<Socket> open = new ArrayList<>();
    private long before;

    @BeforeAll
    static void join() {
        node = ClusterProcess.start(
                Tests.settings("n1", ProcessSettings.Kind.CANDIDATE, List.of()));
        other = ClusterProcess.start(
                Tests.settings("n2", ProcessSettings.Kind.AGENT, List.of(node.address())));
        node.join();
        other.join();
    }

    @BeforeEach
    void count() {
        requireBothTalk();
        before = refused();
    }

    @AfterEach
    void disconnect() throws IOException {
        for (Socket socket : open) {
            socket.close();
        }
    }

    @AfterAll
    static void close() {
        other.close();
        node.close();
    }

    private void requireBothTalk() {
        while (Tests.picture(node).nodes().size() < 2) {
            Thread.onSpinWait(); // its collector learns of the inspectors
        }
    }

    private long refused() {
        return node.traffic().stream().filter(view -> view.kind().equals("transport"))
                .mapToLong(TrafficView::refused).sum();
    }

    /** At least so many: the counter also counts other warnings of Akka's transport. */
    private void awaitRefused(long count) {
        while (refused() - before < count) {
            Thread.onSpinWait();
        }
    }

    private Socket connect(byte... first) throws IOException {
        Socket socket = new Socket(InetAddress.getLoopbackAddress(), node.address().port());
        open.add(socket);
        socket.setSoTimeout(60_000);
        socket.getOutputStream().write(first);
        return socket;
    }

    private static Credential meet(Function<X509Certificate, Credential> find) throws IOException {
        return FirstMeeting.with("127.0.0.1", node.address().port(), 30_000, find);
    }

    private static boolean cut(Socket socket) {
        try {
            while (socket.getInputStream().read() >= 0) {
                // an alert, perhaps
            }
            return true;
        } catch (SocketTimeoutException e) {
            return false;
        } catch (IOException e) {
            return true; // reset, because bytes were left unread
        }
    }

    @Test
    void garbageIsRefusedAndCountedAndNoFrameOfAStrangerReachesAkka() throws IOException {
        Random random = new Random(3);
        for (int i = 0; i < 20; i++) {
            byte[] garbage = new byte[64 + random.nextInt(5000)];
            random.nextBytes(garbage);
            assertThat(cut(connect(garbage))).isTrue();
        }
        // as Akka's decoder takes them where nothing stands before it; one near 2^31 ends it for good
        int[] lengths = {Integer.MAX_VALUE, Integer.MAX_VALUE - 7, 1 << 30, 8 << 18, -1, 0, 7};
        for (int stream = 1; stream <= 3; stream++) {
            for (int length : lengths) {
                assertThat(cut(connect(ByteBuffer.allocate(MAGIC.length + 1 + Integer.BYTES + 40)
                        .order(ByteOrder.LITTLE_ENDIAN)
                        .put(MAGIC).put((byte) stream).putInt(length).array()))).isTrue();
            }
        }
        // what a record or a message of the handshake claims is bounded too
        byte[] hello = {22, 3, 1, (byte) 0xff, (byte) 0xff, 1, 0x7f, (byte) 0xff, (byte) 0xff};
        assertThat(cut(connect(hello))).isTrue();
        hello[3] = 0x40; // a record that fits, of a hello of 8 MiB
        hello[4] = 0;
        assertThat(cut(connect(Arrays.copyOf(hello, 5 + 0x4000)))).isTrue();
        awaitRefused(20 + 3L * lengths.length + 2);
        requireBothTalk();
    }

    @Test
    void whoSaysNothingOrStopsInTheHandshakeIsCutOffAndHoldsUpNobody() throws Exception {
        List<Socket> idle = new ArrayList<>();
        for (int i = 0; i < MOST_STRANGERS + 20; i++) {
            idle.add(i % 2 == 0 ? connect() : connect(new byte[] {22, 3, 1, 2, 0, 1}));
        }
        ClusterProcess third = ClusterProcess.start(
                Tests.settings("n3", ProcessSettings.Kind.AGENT, List.of(node.address())));
        try {
            third.join();
        } finally {
            third.close();
        }
        for (Socket socket : idle) {
            assertThat(cut(socket)).isTrue();
        }
        awaitRefused(idle.size());
        requireBothTalk();
    }

    @Test
    void whoHasNoCredentialOrAnotherIsRefused() throws Exception {
        Credential ours = Credentials.ours();
        assertThat(meet(certificate -> {
            assertThat(certificate).isEqualTo(ours.certificate());
            return ours;
        })).isEqualTo(ours);
        Credential another = Credentials.make();
        assertThatThrownBy(() -> meet(_ -> another))
                .isInstanceOf(SSLException.class).hasMessageContaining("not of this run");
        // the certificate is no secret: it does not help without the key
        Credential stolen = new Credential(another.key(), Credentials.ours().certificate());
        try {
            meet(_ -> stolen);
        } catch (IOException e) {
            // in TLS 1.3 a client may think that its handshake is over before it is refused
        }
        ClusterProcess process = ClusterProcess.start(new ProcessSettings("n4",
                ProcessSettings.Kind.AGENT, new NodeAddress("127.0.0.1", 0),
                List.of(node.address()), 1, Tests.BUILD, ProcessSettings.Patience.FAST,
                () -> another));
        assertThatThrownBy(() -> process.join(Duration.ofSeconds(3)))
                .isInstanceOf(CastaliaException.class).hasMessageContaining("cannot reach");
        awaitRefused(3); // and what that process tried
        requireBothTalk();
    }
}
