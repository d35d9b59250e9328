package castalia.workers.data;

import static org.assertj.core.api.Assertions.assertThat;

import castalia.workers.data.SampleOrder.Request;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.locks.LockSupport;
import java.util.stream.Stream;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** Several processes that want one order at once, and one that is killed while it builds. */
@Tag("default")
class OrderProcessesTest {
    private static final int DOCUMENTS = 400_000;

    @TempDir Path folder;

    /** Lengths without memory: 0 to 1022. */
    private static final SequenceSizes SIZES = new SequenceSizes() {
        @Override
        public long sequences() {
            return DOCUMENTS;
        }

        @Override
        public int size(long sequence) {
            return (int) (sequence * 0x9e3779b97f4a7c15L >>> 54);
        }
    };

    private static final Request REQUEST = new Request(0, DOCUMENTS, 128, 4_000_000, 5);

    /**
     * Gets the order and prints whether it was built here, and the hash of its shuffle; a builder that is
     * to be killed stands still halfway.
     */
    static final class Builder {
        private Builder() {}

        public static void main(String[] args) {
            boolean stands = args.length > 1;
            AtomicInteger told = new AtomicInteger();
            System.out.println("begun");
            SampleOrder order = OrderStore.alwaysIn(Path.of(args[0]),
                    (done, total) -> {
                        told.incrementAndGet();
                        while (stands && 2 * done > total) {
                            LockSupport.park();
                        }
                    }, note -> {}).order(SIZES, REQUEST);
            System.out.println((told.get() > 0 ? "built " : "read ")
                    + Fixtures.sha256(order.samples(), 8, order::shuffled));
        }
    }

    private Process start(String name, String... further) throws IOException {
        List<String> command = new ArrayList<>(List.of(
                Path.of(System.getProperty("java.home"), "bin", "java").toString(), "-Xmx256m",
                "-XX:+UseSerialGC", "-XX:-UsePerfData", "-cp",
                System.getProperty("surefire.test.class.path",
                        System.getProperty("java.class.path")),
                Builder.class.getName(), folder.resolve("orders").toString()));
        command.addAll(List.of(further));
        return new ProcessBuilder(command)
                .redirectErrorStream(true)
                .redirectOutput(folder.resolve(name).toFile()).start();
    }

    private String said(Process process, String name) throws IOException, InterruptedException {
        if (!process.waitFor(120, TimeUnit.SECONDS)) {
            process.destroyForcibly();
            throw new IOException(name + " did not end");
        }
        List<String> lines = Files.readAllLines(folder.resolve(name), StandardCharsets.UTF_8);
        assertThat(process.exitValue()).as("%s", lines).isZero();
        return lines.getLast();
    }

    private List<String> files() throws IOException {
        if (!Files.exists(folder.resolve("orders"))) {
            return List.of();
        }
        try (Stream<Path> all = Files.list(folder.resolve("orders"))) {
            return all.map(file -> file.getFileName().toString()).toList();
        }
    }

    @Test
    void oneBuildsAndTheOthersReadItAlsoAfterABuilderWasKilled() throws Exception {
        Process killed = start("killed", "stands");
        long end = System.nanoTime() + TimeUnit.SECONDS.toNanos(60);
        while (files().stream().noneMatch(name -> name.contains(".partial-"))
                && System.nanoTime() < end) {
            Thread.onSpinWait();
        }
        killed.destroyForcibly().waitFor();
        assertThat(files()).anyMatch(name -> name.contains(".partial-"))
                .noneMatch(name -> name.endsWith(".order"));
        List<Process> processes = new ArrayList<>();
        for (int i = 0; i < 3; i++) {
            processes.add(start("p" + i));
        }
        List<String> said = new ArrayList<>();
        for (int i = 0; i < 3; i++) {
            said.add(said(processes.get(i), "p" + i));
        }
        SampleOrder order = SampleOrder.build(SIZES, REQUEST);
        String hash = Fixtures.sha256(order.samples(), 8, order::shuffled);
        assertThat(said).allMatch(line -> line.endsWith(hash));
        assertThat(said).filteredOn(line -> line.startsWith("built ")).hasSize(1);
        assertThat(files()).noneMatch(name -> name.contains(".partial-")).hasSize(2);
    }
}
