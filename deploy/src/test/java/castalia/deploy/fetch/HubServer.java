package castalia.deploy.fetch;

import com.sun.net.httpserver.HttpExchange;
import com.sun.net.httpserver.HttpServer;
import java.io.IOException;
import java.io.OutputStream;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.nio.charset.StandardCharsets;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.Deque;
import java.util.HexFormat;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.TimeUnit;

/** A hub on this machine that misbehaves as it is told, once per fault, then serves well. */
final class HubServer implements AutoCloseable {
    static final String COMMIT = "0123456789abcdef0123456789abcdef01234567";

    /** What happens to one request. */
    @FunctionalInterface
    interface Fault {
        void answer(HttpExchange exchange, byte[] content) throws IOException;
    }

    private final HttpServer server;
    private final ExecutorService pool = Executors.newCachedThreadPool();
    private final Map<String, byte[]> files = new TreeMap<>();
    private final Map<String, Deque<Fault>> faults = new ConcurrentHashMap<>();
    private final CountDownLatch closed = new CountDownLatch(1);
    final List<String> requests = Collections.synchronizedList(new ArrayList<>());
    String extraListing = "";
    private volatile long pieceAt;
    private volatile long longestGap;

    HubServer() throws IOException {
        server = HttpServer.create(new InetSocketAddress(InetAddress.getLoopbackAddress(), 0), 0);
        server.setExecutor(pool);
        server.createContext("/", this::handle);
        server.start();
    }

    String address() {
        return "http://127.0.0.1:" + server.getAddress().getPort();
    }

    void add(String path, byte[] content) {
        files.put(path, content);
    }

    /** Lets the next requests for a path, or for "listing", fail so, one after another. */
    void failing(String path, Fault... next) {
        faults.put(path, new ArrayDeque<>(List.of(next)));
    }

    long asked(String path) {
        return requests.stream().filter(line -> line.startsWith(path + " ")).count();
    }

    private void handle(HttpExchange exchange) throws IOException {
        String uri = exchange.getRequestURI().getPath();
        String range = exchange.getRequestHeaders().getFirst("Range");
        try (exchange) {
            String path = uri.startsWith("/api/")
                    ? "listing"
                    : uri.replaceFirst("^/(moved/|datasets/)?own/repo/resolve/[^/]*/", "");
            requests.add(path + " " + (range == null ? "whole" : range) + " " + uri);
            byte[] content = path.equals("listing") ? listing() : files.get(path);
            Fault fault = faults.getOrDefault(path, new ArrayDeque<>()).pollFirst();
            if (fault != null) {
                fault.answer(exchange, content == null ? new byte[0] : content);
            } else if (content == null) {
                exchange.sendResponseHeaders(404, -1);
            } else {
                well(exchange, content);
            }
        }
    }

    private byte[] listing() {
        StringBuilder siblings = new StringBuilder();
        files.forEach((path, content) -> siblings.append(siblings.isEmpty() ? "" : ",")
                .append(sibling(path, content)));
        return ("{\"id\": \"own/repo\", \"sha\": \"" + COMMIT + "\", \"siblings\": [" + siblings
                + extraListing + "]}").getBytes(StandardCharsets.UTF_8);
    }

    /** Files above 1000 bytes are large ones, listed with SHA-256. */
    static String sibling(String path, byte[] content) {
        String start = "{\"rfilename\": \"" + path + "\", \"size\": " + content.length;
        return content.length > 1000
                ? start + ", \"blobId\": \"" + "0".repeat(40) + "\", \"lfs\": {\"sha256\": \""
                        + hash("SHA-256", content) + "\", \"size\": " + content.length
                        + ", \"pointerSize\": 130}}"
                : start + ", \"blobId\": \"" + hash("SHA-1",
                        ("blob " + content.length + "\0").getBytes(StandardCharsets.UTF_8),
                        content) + "\"}";
    }

    private static String hash(String algorithm, byte[]... pieces) {
        try {
            MessageDigest digest = MessageDigest.getInstance(algorithm);
            for (byte[] piece : pieces) {
                digest.update(piece);
            }
            return HexFormat.of().formatHex(digest.digest());
        } catch (NoSuchAlgorithmException e) {
            throw new AssertionError(e);
        }
    }

    static String tag(byte[] content) {
        return "\"" + Arrays.hashCode(content) + "\"";
    }

    /** As a server should: whole, or the rest from an offset. */
    static void well(HttpExchange exchange, byte[] content) throws IOException {
        String range = exchange.getRequestHeaders().getFirst("Range");
        String ifRange = exchange.getRequestHeaders().getFirst("If-Range");
        exchange.getResponseHeaders().set("ETag", tag(content));
        if (range != null && (ifRange == null || ifRange.equals(tag(content)))) {
            rest(exchange, content, Integer.parseInt(range.replaceAll("\\D", "")));
        } else {
            send(exchange, 200, content);
        }
    }

    static void rest(HttpExchange exchange, byte[] content, int from) throws IOException {
        exchange.getResponseHeaders().set("Content-Range",
                "bytes " + from + "-" + (content.length - 1) + "/" + content.length);
        send(exchange, 206, Arrays.copyOfRange(content, from, content.length));
    }

    private static void send(HttpExchange exchange, int status, byte[] bytes)
            throws IOException {
        exchange.sendResponseHeaders(status, bytes.length == 0 ? -1 : bytes.length);
        try (OutputStream out = exchange.getResponseBody()) {
            out.write(bytes);
        }
    }

    static Fault status(int status, String... headers) {
        return (exchange, _) -> {
            for (int i = 0; i < headers.length; i += 2) {
                exchange.getResponseHeaders().set(headers[i], headers[i + 1]);
            }
            exchange.sendResponseHeaders(status, -1);
        };
    }

    /** Promises all and sends a part, from the asked offset on. */
    static Fault cutAfter(int bytes) {
        return (exchange, content) -> part(exchange, content, bytes);
    }

    /** Sends a part and then nothing, without ending. */
    Fault stallAfter(int bytes) {
        return (exchange, content) -> {
            part(exchange, content, bytes);
            try {
                closed.await(60, TimeUnit.SECONDS);
            } catch (InterruptedException e) {
                Thread.currentThread().interrupt();
            }
        };
    }

    /** Promises all and sends single bytes, with a pause before each, until it is closed. */
    Fault drip(long pauseMillis) {
        return (exchange, content) -> {
            part(exchange, content, 0);
            try {
                for (int i = 0; !closed.await(pauseMillis, TimeUnit.MILLISECONDS); i++) {
                    exchange.getResponseBody().write(content[i]);
                    exchange.getResponseBody().flush();
                }
            } catch (InterruptedException e) {
                Thread.currentThread().interrupt();
            }
        };
    }

    /** Sends all, in pieces with a pause after each, and notes the longest of them. */
    Fault inPieces(int bytes, long pauseMillis) {
        return (exchange, content) -> {
            longestGap = 0;
            pieceAt = System.nanoTime();
            exchange.sendResponseHeaders(200, content.length);
            try {
                for (int at = 0; at < content.length; at += bytes) {
                    exchange.getResponseBody().write(
                            content, at, Math.min(bytes, content.length - at));
                    exchange.getResponseBody().flush();
                    TimeUnit.MILLISECONDS.sleep(pauseMillis);
                    longestGap = longestPauseMillis();
                    pieceAt = System.nanoTime();
                }
            } catch (InterruptedException e) {
                Thread.currentThread().interrupt();
            }
        };
    }

    /** Between two pieces, or since the last. */
    long longestPauseMillis() {
        return Math.max(longestGap, (System.nanoTime() - pieceAt) / 1_000_000);
    }

    private static void part(HttpExchange exchange, byte[] content, int bytes)
            throws IOException {
        String range = exchange.getRequestHeaders().getFirst("Range");
        int from = range == null ? 0 : Integer.parseInt(range.replaceAll("\\D", ""));
        exchange.getResponseHeaders().set("ETag", tag(content));
        if (range != null) {
            exchange.getResponseHeaders().set("Content-Range",
                    "bytes " + from + "-" + (content.length - 1) + "/" + content.length);
        }
        exchange.sendResponseHeaders(range == null ? 200 : 206, content.length - from);
        exchange.getResponseBody().write(content, from, Math.min(bytes, content.length - from));
        exchange.getResponseBody().flush();
    }

    /** Answers with another content in place of the right one. */
    static Fault instead(byte[] other) {
        return (exchange, _) -> well(exchange, other);
    }

    /** Sends more than it should, without saying how much. */
    static Fault endless(int more) {
        return (exchange, content) -> {
            exchange.sendResponseHeaders(200, 0);
            exchange.getResponseBody().write(content);
            exchange.getResponseBody().write(new byte[more]);
        };
    }

    static Fault wholeWhateverIsAsked() {
        return (exchange, content) -> send(exchange, 200, content);
    }

    static Fault restFromElsewhere() {
        return (exchange, content) -> rest(exchange, content, 1);
    }

    @Override
    public void close() {
        closed.countDown();
        server.stop(0);
        pool.shutdownNow();
    }
}
