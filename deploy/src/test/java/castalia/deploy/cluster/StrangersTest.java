package castalia.deploy.cluster;

import static org.assertj.core.api.Assertions.assertThat;

import castalia.protocol.identity.Member;
import castalia.protocol.layout.LayoutRequest;
import castalia.protocol.run.RunNews;
import castalia.protocol.run.RunResult;
import java.io.IOException;
import java.net.InetAddress;
import java.net.Socket;
import java.net.UnixDomainSocketAddress;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.channels.SocketChannel;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Random;
import java.util.TreeMap;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicLong;
import java.util.concurrent.atomic.AtomicReference;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;

/** Strangers at every port of a run that trains. */
@Tag("default")
@Timeout(value = 240, unit = TimeUnit.SECONDS)
class StrangersTest {

    /** Longer than it takes: the run is stopped. */
    private static final int STEPS = 20_000;

    /** Steps that the run goes on for after the attack. */
    private static final int MORE = 20;

    private static final int IDLE = 70;
    private static final long GROWTH = 400 << 20;

    @TempDir
    @SuppressWarnings("NullAway.Init") // JUnit fills it
    Path folder;

    private final List<AutoCloseable> open = new ArrayList<>();
    private final Random random = new Random(5);

    @Test
    void theyChangeNothing() throws Exception {
        TinyRun tiny = TinyRun.write(folder, "fp32", 24, STEPS, STEPS);
        AtomicReference<Optional<CompletableFuture<Map<Long, Long>>>> attack =
                new AtomicReference<>(Optional.empty());
        AtomicLong after = new AtomicLong();
        Witness witness = new Witness((w, progress) -> {
            if (progress.step() >= 20 && attack.get().isEmpty()) {
                attack.set(Optional.of(CompletableFuture.supplyAsync(() -> attack(w.members()))));
            }
            if (attack.get().filter(CompletableFuture::isDone).isPresent()
                    && after.incrementAndGet() == MORE) {
                w.cluster().stop();
            }
        });
        try {
            RunResult.Stopped stopped = tiny.untilStopped(folder.resolve("cluster"), 2, witness);
            Map<Long, Long> growth = attack.get().orElseThrow().get(60, TimeUnit.SECONDS);
            assertThat(growth).hasSize(3).allSatisfy(
                    (pid, bytes) -> assertThat(bytes).isLessThan(GROWTH));
            assertThat(stopped.stateHash()).isEqualTo(tiny.until(stopped.step(),
                    folder.resolve("alone"), 1, LayoutRequest.NOTHING, (_, _) -> {}));
            assertThat(witness.lost()).isZero();
            assertThat(witness.count(news -> news instanceof RunNews.Detected))
                    .as("%s", witness).isZero();
        } finally {
            for (AutoCloseable socket : open) {
                socket.close();
            }
        }
    }

    /** Gives how many bytes each process has grown by. */
    private Map<Long, Long> attack(List<Member> workers) {
        try {
            Map<Long, Long> memory = new TreeMap<>();
            List<Long> pids = new ArrayList<>(workers.stream().map(Member::pid).toList());
            pids.add(ProcessHandle.current().pid());
            List<Integer> ports = new ArrayList<>();
            for (long pid : pids) {
                memory.put(pid, Ports.memory(pid));
                ports.addAll(Ports.of(pid));
            }
            // per worker its actors and its tensors; the node's actors, heartbeats and page
            assertThat(ports).hasSizeGreaterThanOrEqualTo(2 * 2 + 3);
            for (int port : ports) {
                for (byte[] bytes : lies()) {
                    write(port, bytes);
                }
                for (int i = 0; i < IDLE; i++) {
                    write(port, i % 2 == 0 ? new byte[0] : new byte[] {22, 3, 1, 2});
                }
            }
            for (Member worker : workers) {
                for (byte[] bytes : lies()) {
                    SocketChannel channel = SocketChannel.open(UnixDomainSocketAddress.of(
                            worker.endpoint().socket().orElseThrow()));
                    open.add(channel);
                    channel.write(ByteBuffer.wrap(bytes));
                }
            }
            for (long pid : pids) {
                memory.merge(pid, Ports.memory(pid), (before, now) -> now - before);
            }
            return memory;
        } catch (IOException e) {
            throw new IllegalStateException(e);
        }
    }

    /** Garbage, and lengths near 2^31 as any of the ports might read one. */
    private List<byte[]> lies() {
        byte[] garbage = new byte[5000];
        random.nextBytes(garbage);
        List<byte[]> all = new ArrayList<>(List.of(garbage));
        for (int length : new int[] {Integer.MAX_VALUE, Integer.MAX_VALUE - 7, Integer.MIN_VALUE}) {
            for (ByteOrder order : List.of(ByteOrder.LITTLE_ENDIAN, ByteOrder.BIG_ENDIAN)) {
                all.add(ByteBuffer.allocate(64).order(order).putInt(length).array());
                all.add(ByteBuffer.allocate(64).order(order).put(new byte[] {'A', 'K', 'K', 'A', 1})
                        .putInt(length).array());
            }
        }
        all.add(("GET / HTTP/1.1\r\nContent-Length: " + Long.MAX_VALUE + "\r\n\r\n").getBytes(
                StandardCharsets.US_ASCII));
        return all;
    }

    private void write(int port, byte[] bytes) throws IOException {
        Socket socket = new Socket(InetAddress.getLoopbackAddress(), port);
        open.add(socket);
        try {
            socket.getOutputStream().write(bytes);
        } catch (IOException e) {
            // cut off already
        }
    }
}
