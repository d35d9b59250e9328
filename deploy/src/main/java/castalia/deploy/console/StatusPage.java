package castalia.deploy.console;

import castalia.deploy.shell.JsonOption;
import castalia.protocol.CastaliaException;
import castalia.protocol.ErrorCode;
import com.sun.net.httpserver.HttpExchange;
import com.sun.net.httpserver.HttpServer;
import java.io.IOException;
import java.io.InputStream;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.nio.charset.StandardCharsets;
import java.util.Map;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.function.Supplier;

/**
 * One live page of a run, on loopback only. It shows; it changes nothing. Requests that come by
 * another host name than loopback's are refused, so that no web site can read it.
 */
public final class StatusPage implements AutoCloseable {

    private static final String RESOURCES = "/castalia/console/";
    private static final int BACKLOG = 16;
    private static final Map<String, String> FILES = Map.of(
            "/", "text/html; charset=utf-8",
            "/page.css", "text/css; charset=utf-8",
            "/page.js", "text/javascript; charset=utf-8");

    static {
        // The server reads these once, and has no other way to be told; seconds.
        bound("sun.net.httpserver.maxReqTime", 10);
        bound("sun.net.httpserver.maxRspTime", 10);
        bound("jdk.httpserver.maxConnections", 64);
    }

    private final HttpServer server;
    private final ExecutorService threads;
    private final Supplier<Object> state;

    /**
     * Serves the page.
     *
     * @param port 0 for any free one
     * @param state what the page shows, as Jackson can write it; asked for on each request
     */
    public StatusPage(int port, Supplier<Object> state) {
        this.state = state;
        InetAddress loopback = InetAddress.getLoopbackAddress();
        try {
            this.server = HttpServer.create(new InetSocketAddress(loopback, port), BACKLOG);
        } catch (IOException e) {
            throw new CastaliaException(ErrorCode.CONFIG_INVALID, "port " + port + " of "
                    + loopback.getHostAddress() + " cannot be used for the page: "
                    + e.getMessage() + "; choose another or 0", e);
        }
        // One thread a request, so that slow clients delay only themselves; as many as connections.
        this.threads = Executors.newThreadPerTaskExecutor(
                Thread.ofVirtual().name("status-page").factory());
        server.setExecutor(threads);
        server.createContext("/", this::answer);
        server.start();
    }

    /** What the command line says stands. */
    private static void bound(String property, int value) {
        if (System.getProperty(property) == null) {
            System.setProperty(property, Integer.toString(value));
        }
    }

    /** Where it is. */
    public String address() {
        return "http://127.0.0.1:" + server.getAddress().getPort() + "/";
    }

    private void answer(HttpExchange exchange) throws IOException {
        try (exchange) {
            String path = exchange.getRequestURI().getPath();
            if (!fromLoopback(exchange)) {
                reply(exchange, 421, "text/plain", "not here\n".getBytes(StandardCharsets.UTF_8));
            } else if (!exchange.getRequestMethod().equals("GET")) {
                reply(exchange, 405, "text/plain", "GET only\n".getBytes(StandardCharsets.UTF_8));
            } else if (path.equals("/state.json")) {
                reply(exchange, 200, "application/json",
                        JsonOption.line(state.get()).getBytes(StandardCharsets.UTF_8));
            } else if (FILES.containsKey(path)) {
                reply(exchange, 200, FILES.get(path), file(path));
            } else {
                reply(exchange, 404, "text/plain", "nothing here\n".getBytes(StandardCharsets.UTF_8));
            }
        }
    }

    private boolean fromLoopback(HttpExchange exchange) {
        String host = exchange.getRequestHeaders().getFirst("Host");
        int port = server.getAddress().getPort();
        return host != null
                && (host.equals("127.0.0.1:" + port) || host.equals("localhost:" + port));
    }

    private static byte[] file(String path) throws IOException {
        String name = path.equals("/") ? "page.html" : path.substring(1);
        try (InputStream in = StatusPage.class.getResourceAsStream(RESOURCES + name)) {
            if (in == null) {
                throw new IllegalStateException("the build lacks " + RESOURCES + name);
            }
            return in.readAllBytes();
        }
    }

    private static void reply(HttpExchange exchange, int status, String type, byte[] body)
            throws IOException {
        var headers = exchange.getResponseHeaders();
        headers.set("Content-Type", type);
        headers.set("Cache-Control", "no-store");
        headers.set("X-Content-Type-Options", "nosniff");
        headers.set("Content-Security-Policy", "default-src 'self'; frame-ancestors 'none'");
        exchange.sendResponseHeaders(status, body.length);
        exchange.getResponseBody().write(body);
    }

    @Override
    public void close() {
        server.stop(0);
        threads.shutdownNow();
    }
}
