package castalia.actors;

import static org.assertj.core.api.Assertions.assertThat;

import castalia.actors.message.NodeSnapshot.TrafficView;
import java.io.IOException;
import java.net.InetAddress;
import java.net.Socket;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.List;
import java.util.Random;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

/** What strangers write to the port of the actors: two nodes talk on beside them. */
@Tag("default")
@Timeout(90)
class ArteryPortTest {

    private static final byte[] MAGIC = {'A', 'K', 'K', 'A'};
    private static final int FRAME = 256 << 10;

    private final ClusterProcess node = ClusterProcess.start(
            Tests.settings("n1", ProcessSettings.Kind.CANDIDATE, List.of()));
    private final ClusterProcess other = ClusterProcess.start(
            Tests.settings("n2", ProcessSettings.Kind.AGENT, List.of(node.address())));

    @BeforeEach
    void join() {
        node.join();
        other.join();
        requireBothTalk();
    }

    @AfterEach
    void close() {
        other.close();
        node.close();
    }

    private void requireBothTalk() {
        while (node.picture().toCompletableFuture().join().nodes().size() < 2) {
            Thread.onSpinWait(); // its collector learns of the inspectors
        }
    }

    private long refused() {
        return node.traffic().stream().filter(view -> view.kind().equals("transport"))
                .mapToLong(TrafficView::refused).sum();
    }

    private Socket connect() throws IOException {
        return new Socket(InetAddress.getLoopbackAddress(), node.address().port());
    }

    private static byte[] frame(int stream, int length, int sent) {
        return ByteBuffer.allocate(MAGIC.length + 1 + Integer.BYTES + sent)
                .order(ByteOrder.LITTLE_ENDIAN)
                .put(MAGIC).put((byte) stream).putInt(length).array();
    }

    private static boolean cut(Socket socket) {
        try {
            return socket.getInputStream().read() < 0;
        } catch (IOException e) {
            return true; // reset, because bytes were left unread
        }
    }

    @Test
    void whoDoesNotSpeakTheProtocolIsCutOff() throws IOException {
        Random random = new Random(3);
        for (int i = 0; i < 20; i++) {
            byte[] garbage = new byte[64 + random.nextInt(5000)];
            random.nextBytes(garbage);
            try (Socket socket = connect()) {
                socket.getOutputStream().write(garbage);
                assertThat(cut(socket)).isTrue();
            }
        }
        try (Socket socket = connect()) {
            socket.getOutputStream().write(frame(9, 1000, 1000)); // no such stream
            assertThat(cut(socket)).isTrue();
        }
        requireBothTalk();
    }

    @Test
    void framesThatMeanNothingAreDroppedAndCounted() throws IOException {
        long before = refused();
        for (int stream = 1; stream <= 3; stream++) {
            for (int length : new int[] {0, -1, 7}) {
                try (Socket socket = connect()) {
                    socket.getOutputStream().write(frame(stream, length, 40));
                }
            }
        }
        while (refused() - before < 9) {
            Thread.onSpinWait();
        }
        requireBothTalk();
    }

    /** Longer than a frame may be, whole and cut off. */
    @Test
    void aLongFrameStopsNobody() throws IOException {
        for (int stream = 1; stream <= 3; stream++) {
            try (Socket cut = connect(); Socket whole = connect()) {
                cut.getOutputStream().write(frame(stream, 1 << 30, 8 * FRAME));
                whole.getOutputStream().write(frame(stream, 8 * FRAME, 8 * FRAME));
                requireBothTalk();
            }
        }
        requireBothTalk();
    }
}
