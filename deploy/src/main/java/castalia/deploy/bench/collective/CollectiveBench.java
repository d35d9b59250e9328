package castalia.deploy.bench.collective;

import castalia.deploy.cluster.ChildJvms;
import castalia.protocol.CastaliaException;
import castalia.protocol.ErrorCode;
import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.BufferedReader;
import java.io.IOException;
import java.io.PrintWriter;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;
import java.util.function.Consumer;
import java.util.stream.Collectors;

/**
 * Starts processes that measure the data plane's collectives beside plain loops, and collects what
 * they found.
 */
public final class CollectiveBench {

    /** Longest silence of a process; the largest bucket takes seconds. */
    private static final Duration SILENCE = Duration.ofMinutes(2);

    private static final ObjectMapper MAPPER = new ObjectMapper();

    private CollectiveBench() {}

    /** One line of a table. */
    public sealed interface Finding {}

    /**
     * A collective beside its plain loop.
     *
     * @param way kind of socket
     * @param ranks processes
     * @param collective reduce-scatter or all-gather
     * @param bucket_bytes bytes of the whole bucket in F32
     * @param gb_per_s payload that reaches one rank per second: median, billions of bytes
     * @param plain_gb_per_s the same of the plain loop
     * @param ratio median over pairs of the plain loop's time by the plane's
     * @param cpu_s_per_gb processor time of all ranks per billion bytes moved, user and system
     * @param plain_cpu_s_per_gb the same of the plain loop
     */
    @SuppressWarnings("MemberName") // the names of the JSON line
    public record Row(
            String way,
            int ranks,
            String collective,
            long bucket_bytes,
            double gb_per_s,
            double plain_gb_per_s,
            double ratio,
            double cpu_s_per_gb,
            double plain_cpu_s_per_gb)
            implements Finding {}

    /**
     * Latency of a whole exchange of votes, on rank 0.
     *
     * @param way kind of socket
     * @param ranks processes
     * @param exchanges how many were timed
     * @param median_us microseconds
     * @param p99_us microseconds
     */
    @SuppressWarnings("MemberName") // the names of the JSON line
    public record Votes(String way, int ranks, int exchanges, double median_us, double p99_us)
            implements Finding {}

    /**
     * What to measure.
     *
     * @param ranks numbers of processes
     * @param ways kinds of sockets
     * @param buckets sizes in bytes
     * @param pairs samples of each, in turns
     */
    public record Settings(List<Integer> ranks, List<Way> ways, List<Long> buckets, int pairs) {

        public Settings {
            ranks = List.copyOf(ranks);
            ways = List.copyOf(ways);
            buckets = List.copyOf(buckets);
        }
    }

    /**
     * Measures.
     *
     * @param found told of each line as soon as it is there
     * @throws CastaliaException if a process fails or is silent
     */
    public static void run(Settings settings, Consumer<Finding> found) {
        for (int ranks : settings.ranks()) {
            try (Processes processes = new Processes(settings, ranks)) {
                List<String> addresses = new ArrayList<>();
                for (int r = 0; r < ranks; r++) {
                    addresses.add(processes.next(r).orElseThrow(r));
                }
                processes.tell(addresses);
                int lines = settings.ways().size() * (2 * settings.buckets().size() + 1);
                for (int i = 0; i < lines; i++) {
                    found.accept(finding(processes.next(0).orElseThrow(0)));
                }
                processes.awaitEnds();
            }
        }
    }

    private static Finding finding(String line) {
        try {
            JsonNode node = MAPPER.readTree(line);
            return node.has("ratio")
                    ? MAPPER.treeToValue(node, Row.class) : MAPPER.treeToValue(node, Votes.class);
        } catch (JsonProcessingException e) {
            throw new IllegalStateException("a process of the bench said: " + line, e);
        }
    }

    /** A line of a process, or the news that there is none. */
    private record Said(boolean ended, String line) {

        String orElseThrow(int rank) {
            if (ended) {
                throw new CastaliaException(ErrorCode.PEER_LOST,
                        "rank " + rank + " of the bench " + line + "; its output is above");
            }
            return line;
        }
    }

    /** The processes of one measurement; what they print for people goes to our standard error. */
    private static final class Processes implements AutoCloseable {

        private final List<Process> all = new ArrayList<>();
        private final List<BlockingQueue<Said>> said = new ArrayList<>();

        Processes(Settings settings, int ranks) {
            try {
                for (int r = 0; r < ranks; r++) {
                    Process process = ChildJvms.piped(List.of("bench-rank",
                            "--rank", Integer.toString(r), "--ranks", Integer.toString(ranks),
                            "--ways", words(settings.ways().stream().map(Way::name).toList()),
                            "--buckets", words(settings.buckets()),
                            "--pairs", Integer.toString(settings.pairs())));
                    all.add(process);
                    BlockingQueue<Said> lines = new LinkedBlockingQueue<>();
                    said.add(lines);
                    Thread thread = new Thread(() -> listen(process, lines), "bench-rank-" + r);
                    thread.setDaemon(true);
                    thread.start();
                }
            } catch (RuntimeException | Error e) {
                close();
                throw e;
            }
        }

        private static String words(List<?> values) {
            return values.stream().map(String::valueOf).collect(Collectors.joining(","));
        }

        private static void listen(Process process, BlockingQueue<Said> lines) {
            try (BufferedReader reader = process.inputReader(StandardCharsets.UTF_8)) {
                for (String line = reader.readLine(); line != null; line = reader.readLine()) {
                    if (line.startsWith(CollectiveRank.MARK)) {
                        lines.add(new Said(false,
                                line.substring(CollectiveRank.MARK.length())));
                    } else {
                        System.err.println(line);
                    }
                }
                lines.add(new Said(true, "ended with exit code " + process.waitFor()));
            } catch (IOException e) {
                lines.add(new Said(true, "cannot be heard: " + e.getMessage()));
            } catch (InterruptedException e) {
                Thread.currentThread().interrupt();
            }
        }

        Said next(int rank) {
            try {
                Said next = said.get(rank).poll(SILENCE.toMillis(), TimeUnit.MILLISECONDS);
                return next == null ? new Said(true, "said nothing for " + SILENCE.toSeconds()
                        + " s") : next;
            } catch (InterruptedException e) {
                Thread.currentThread().interrupt();
                return new Said(true, "was interrupted");
            }
        }

        void tell(List<String> lines) {
            for (Process process : all) {
                PrintWriter to = new PrintWriter(process.outputWriter(StandardCharsets.UTF_8));
                lines.forEach(to::println);
                to.flush();
            }
        }

        /** Lets them put away their sockets. */
        void awaitEnds() {
            try {
                for (Process process : all) {
                    boolean _ = process.waitFor(5, TimeUnit.SECONDS);
                }
            } catch (InterruptedException e) {
                Thread.currentThread().interrupt();
            }
        }

        @Override
        public void close() {
            all.forEach(Process::destroy);
        }
    }
}
