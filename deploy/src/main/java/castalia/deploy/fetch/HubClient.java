package castalia.deploy.fetch;

import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.InputStream;
import java.net.ConnectException;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpClient.Redirect;
import java.net.http.HttpClient.Version;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.net.http.HttpResponse.BodyHandlers;
import java.net.http.HttpTimeoutException;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.Executors;
import java.util.concurrent.ScheduledExecutorService;
import java.util.concurrent.TimeUnit;

/**
 * Asks over HTTP, follows redirects, and ends whatever brings no bytes any more, or hardly any. May
 * be used by several threads.
 */
final class HubClient implements AutoCloseable {
    private static final int MOST_REDIRECTS = 8;

    private final HttpClient http;
    private final FetchSettings settings;
    private final Set<Answer> running = ConcurrentHashMap.newKeySet();
    private final ScheduledExecutorService watch = Executors.newSingleThreadScheduledExecutor(
            task -> {
                Thread thread = new Thread(task, "fetch-watch");
                thread.setDaemon(true);
                return thread;
            });

    HubClient(FetchSettings settings) {
        this.settings = settings;
        this.http = HttpClient.newBuilder()
                .version(Version.HTTP_1_1)
                .followRedirects(Redirect.NEVER)
                .connectTimeout(settings.connect())
                .build();
        long period = Math.max(10, settings.stall().toMillis() / 8);
        var _ = watch.scheduleWithFixedDelay(this::endStalled, period, period, TimeUnit.MILLISECONDS);
    }

    private void endStalled() {
        long now = System.nanoTime();
        for (Answer answer : running) {
            if (now - answer.sinceNanos > settings.stall().toNanos()) {
                answer.stalled = true;
                answer.close();
            }
        }
    }

    /** An answer whose body is being read; to be closed. */
    final class Answer implements AutoCloseable {
        private final HttpResponse<InputStream> response;
        private volatile long sinceNanos = System.nanoTime();
        private volatile boolean stalled;
        private long bytesSince;

        private Answer(HttpResponse<InputStream> response) {
            this.response = response;
            running.add(this);
        }

        int status() {
            return response.statusCode();
        }

        /** A header, or an empty text. */
        String header(String name) {
            return response.headers().firstValue(name).orElse("");
        }

        /** Reads some bytes; -1 at the end. */
        int read(byte[] target) throws IOException {
            try {
                int n = response.body().read(target);
                bytesSince += Math.max(0, n);
                if (bytesSince >= FetchSettings.LEAST_BYTES) {
                    bytesSince = 0;
                    sinceNanos = System.nanoTime();
                }
                if (n < 0 && stalled) {
                    throw stalled();
                }
                return n;
            } catch (IOException e) {
                throw stalled ? stalled() : e;
            }
        }

        private FetchException stalled() {
            return FetchException.passing("only " + bytesSince + " bytes came in "
                    + settings.stall().toMillis() / 1000.0 + " s");
        }

        @Override
        public void close() {
            running.remove(this);
            try {
                response.body().close();
            } catch (IOException _) {
                // The connection is given up anyway.
            }
        }
    }

    /**
     * Asks for an address, and for those it leads to.
     *
     * @throws IOException if nothing answers
     */
    Answer get(URI address, Map<String, String> headers) throws IOException {
        URI at = address;
        for (int hop = 0; hop <= MOST_REDIRECTS; hop++) {
            Answer answer = new Answer(send(at, headers));
            if (answer.status() / 100 != 3 || answer.status() == 304) {
                return answer;
            }
            answer.close();
            at = next(at, answer.header("Location"));
        }
        throw FetchException.passing(
                address + " leads through more than " + MOST_REDIRECTS + " redirects");
    }

    private static URI next(URI from, String location) throws FetchException {
        URI to;
        try {
            to = from.resolve(location);
        } catch (IllegalArgumentException e) {
            throw FetchException.passing(from + " redirects to '" + location + "'");
        }
        boolean secure = "https".equals(to.getScheme());
        boolean plain = "http".equals(to.getScheme()) && "http".equals(from.getScheme());
        if (location.isEmpty() || to.getHost() == null || !(secure || plain)) {
            throw FetchException.lasting(
                    from + " redirects to '" + location + "', which is refused");
        }
        return to;
    }

    private HttpResponse<InputStream> send(URI address, Map<String, String> headers)
            throws IOException {
        HttpRequest.Builder request = HttpRequest.newBuilder(address)
                .timeout(settings.stall())
                .header("User-Agent", "castalia");
        headers.forEach(request::header);
        try {
            return http.send(request.GET().build(), BodyHandlers.ofInputStream());
        } catch (HttpTimeoutException e) {
            throw FetchException.passing(address + " does not answer");
        } catch (ConnectException e) {
            throw FetchException.passing(address.getScheme() + "://" + address.getAuthority()
                    + " cannot be reached");
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            throw FetchException.lasting("stopped");
        }
    }

    /** A whole body of at most so many bytes. */
    byte[] body(URI address, int most) throws IOException {
        try (Answer answer = get(address, Map.of())) {
            requireOk(address, answer);
            ByteArrayOutputStream body = new ByteArrayOutputStream();
            byte[] buffer = new byte[1 << 16];
            for (int n = answer.read(buffer); n >= 0; n = answer.read(buffer)) {
                body.write(buffer, 0, n);
                if (body.size() > most) {
                    throw FetchException.lasting(
                            address + " answers more than " + most + " bytes");
                }
            }
            return body.toByteArray();
        }
    }

    /** Refuses an answer that is no success. */
    static void requireOk(URI address, HubClient.Answer answer) throws FetchException {
        int status = answer.status();
        if (status == 200 || status == 206) {
            return;
        }
        String line = address + " answers " + status;
        switch (status) {
            case 401, 403 -> throw FetchException.lasting(
                    line + ": there is no such repository, or it is not public");
            case 404, 410 -> throw FetchException.lasting(
                    line + ": there is no such repository, revision or file");
            case 408, 425, 429, 500, 502, 503, 504 -> throw FetchException.busy(
                    line, retryAfterMillis(answer.header("Retry-After")));
            default -> throw status >= 500
                    ? FetchException.passing(line)
                    : FetchException.lasting(line);
        }
    }

    private static long retryAfterMillis(String header) {
        return header.matches("\\d{1,6}") ? Long.parseLong(header) * 1000 : 0;
    }

    @Override
    public void close() {
        watch.shutdownNow();
        running.forEach(Answer::close);
        http.shutdownNow();
    }
}
