package castalia.deploy.console;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.io.IOException;
import java.net.InetAddress;
import java.net.Socket;
import java.net.SocketException;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

/** Clients of the page that are slow, or are none. */
@Timeout(value = 60, unit = TimeUnit.SECONDS)
class StatusPageTest {

    private final StatusPage page = new StatusPage(0, () -> Map.of("step", 3));
    private final List<Socket> open = new ArrayList<>();

    @AfterEach
    void close() throws IOException {
        for (Socket socket : open) {
            socket.close();
        }
        page.close();
    }

    private Socket connect(String begun) throws IOException {
        Socket socket =
                new Socket(InetAddress.getLoopbackAddress(), URI.create(page.address()).getPort());
        open.add(socket);
        socket.setSoTimeout(60_000);
        socket.getOutputStream().write(begun.getBytes(StandardCharsets.US_ASCII));
        return socket;
    }

    private String state() throws IOException, InterruptedException {
        try (HttpClient client = HttpClient.newHttpClient()) {
            return client.send(
                    HttpRequest.newBuilder(URI.create(page.address() + "state.json")).build(),
                    HttpResponse.BodyHandlers.ofString()).body();
        }
    }

    @Test
    void clientsThatBeginARequestAndStopKeepNobodyFromBeingServed() throws Exception {
        for (int i = 0; i < 20; i++) {
            connect("");
            connect("GET / HTTP/1.1\r\nHost: ");
        }
        assertThat(state()).isEqualTo("{\"step\":3}");
    }

    @Tag("default")
    @Test
    void theyLoseTheirConnection() throws Exception {
        Socket begun = connect("GET / HTTP/1.1\r\nHost: ");
        Socket idle = connect("");
        assertThat(ended(begun)).isTrue();
        assertThat(ended(idle)).isTrue();
        assertThat(state()).isEqualTo("{\"step\":3}");
    }

    /** Of a request only so much is taken, whatever it is made of. */
    @Test
    void garbageAndRequestsWithoutEndAreCutOff() throws Exception {
        Random random = new Random(7);
        for (int i = 0; i < 20; i++) {
            byte[] garbage = new byte[1 + random.nextInt(10_000)];
            random.nextBytes(garbage);
            connect("").getOutputStream().write(garbage);
        }
        connect("GET / HTTP/1.1\r\nContent-Length: " + Long.MAX_VALUE + "\r\n\r\n");
        for (String begun : List.of("", "GET / HTTP/1.1\r\nHost: ", "GET / HTTP/1.1\r\n")) {
            String more = begun.endsWith("\n") ? "a: b\r\n" : "aaaaaa";
            byte[] mebibyte = more.repeat((1 << 20) / more.length())
                    .getBytes(StandardCharsets.US_ASCII);
            Socket socket = connect(begun);
            assertThatThrownBy(() -> {
                for (int i = 0; i < 64; i++) {
                    socket.getOutputStream().write(mebibyte);
                }
            }).as("%s", begun).isInstanceOf(SocketException.class);
        }
        assertThat(state()).isEqualTo("{\"step\":3}");
    }

    private static boolean ended(Socket socket) throws IOException {
        try {
            return socket.getInputStream().read() < 0;
        } catch (SocketException e) {
            return true; // reset
        }
    }
}
