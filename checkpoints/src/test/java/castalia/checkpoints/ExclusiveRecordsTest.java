package castalia.checkpoints;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import castalia.checkpoints.ExclusiveRecords.Outcome;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.FileAlreadyExistsException;
import java.nio.file.FileSystemException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashSet;
import java.util.List;
import java.util.Set;
import java.util.concurrent.CyclicBarrier;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

@Timeout(120)
class ExclusiveRecordsTest {

    private static final int ROUNDS = 60;

    @TempDir Path folder;

    private ExclusiveRecords records(FileOperations files) {
        return new ExclusiveRecords(files, folder, 1000);
    }

    private ExclusiveRecords records() {
        return records(FileOperations.real());
    }

    private static byte[] bytes(String text) {
        return text.getBytes(StandardCharsets.UTF_8);
    }

    @Test
    void theFirstWinsAndTheOthersLearnWhatItWrote() throws IOException {
        assertThat(records().read("a")).isEmpty();
        assertThat(records().publish("a", bytes("one"))).isEqualTo(new Outcome.Won());
        assertThat(records().publish("a", bytes("two")))
                .isInstanceOfSatisfying(Outcome.Lost.class,
                        lost -> assertThat(lost.existing()).isEqualTo(bytes("one")));
        assertThat(records().publish("a", bytes("one"))).isInstanceOf(Outcome.Lost.class);
        assertThat(records().read("a")).hasValue(bytes("one"));
        assertThat(records().publish("empty", new byte[0])).isEqualTo(new Outcome.Won());
        assertThat(records().names()).containsExactly("a", "empty");
        assertThat(Fixtures.files(folder)).hasSize(2);
        assertThat(records().remove("a")).isTrue();
        assertThat(records().remove("a")).isFalse();
    }

    @Test
    void oneOfManyThreadsWinsEachRecord() throws Exception {
        int threads = 4;
        CyclicBarrier barrier = new CyclicBarrier(threads);
        try (ExecutorService executor = Executors.newFixedThreadPool(threads)) {
            List<Future<Integer>> wins = new ArrayList<>();
            for (int t = 0; t < threads; t++) {
                String own = "thread " + t;
                wins.add(executor.submit(() -> {
                    int won = 0;
                    for (int i = 0; i < ROUNDS; i++) {
                        barrier.await();
                        won += race(records(), i, own) ? 1 : 0;
                    }
                    return won;
                }));
            }
            int sum = 0;
            for (Future<Integer> win : wins) {
                sum += win.get();
            }
            assertThat(sum).isEqualTo(ROUNDS);
        }
    }

    /** Publishes and checks that whoever is told to have won is who everybody reads. */
    private static boolean race(ExclusiveRecords records, int round, String own)
            throws IOException {
        String name = "record-%03d".formatted(round);
        boolean won = switch (records.publish(name, bytes(own))) {
            case Outcome.Won() -> true;
            case Outcome.Lost lost -> {
                assertThat(lost.existing()).isNotEqualTo(bytes(own));
                yield false;
            }
        };
        if (won) {
            assertThat(records.read(name)).hasValue(bytes(own));
        }
        return won;
    }

    /** The other side of the race between processes: arguments are folder and own name. */
    static final class Racer {

        private Racer() {}

        public static void main(String[] arguments) throws IOException {
            ExclusiveRecords records =
                    new ExclusiveRecords(FileOperations.real(), Path.of(arguments[0]), 1000);
            System.out.println("ready");
            if (System.in.read() < 0) {
                return;
            }
            StringBuilder won = new StringBuilder();
            for (int i = 0; i < ROUNDS; i++) {
                if (race(records, i, arguments[1])) {
                    won.append(i).append(' ');
                }
            }
            System.out.println(won);
        }
    }

    @Test
    void oneOfTwoProcessesWinsEachRecord() throws IOException {
        try (OtherJvm a = new OtherJvm(Racer.class, folder.toString(), "a");
                OtherJvm b = new OtherJvm(Racer.class, folder.toString(), "b")) {
            assertThat(a.line()).isEqualTo("ready");
            assertThat(b.line()).isEqualTo("ready");
            a.go();
            b.go();
            Set<String> won = new HashSet<>();
            for (String line : List.of(a.line(), b.line())) {
                for (String record : line.isBlank() ? new String[0] : line.split(" ", -1)) {
                    assertThat(record.isEmpty() || won.add(record)).isTrue();
                }
            }
            assertThat(won).hasSize(ROUNDS);
        }
    }

    @Test
    void everyFlippedByteAndEveryCutIsDetected() throws IOException {
        records().publish("r", bytes("some record"));
        Path file = folder.resolve("r");
        byte[] whole = Files.readAllBytes(file);
        for (int i = 0; i < whole.length; i++) {
            for (int bit = 0; bit < 8; bit++) {
                byte[] damaged = whole.clone();
                damaged[i] ^= (byte) (1 << bit);
                Files.write(file, damaged);
                assertThatThrownBy(() -> records().read("r"))
                        .isInstanceOf(DamagedFileException.class)
                        .hasMessageContaining(file.toString());
            }
            Files.write(file, Arrays.copyOf(whole, i));
            assertThatThrownBy(() -> records().read("r")).isInstanceOf(DamagedFileException.class);
        }
        Files.write(file, Arrays.copyOf(whole, whole.length + 1));
        assertThatThrownBy(() -> records().read("r")).isInstanceOf(DamagedFileException.class);
    }

    @Test
    void sizesAreCappedBothWays() throws IOException {
        assertThatThrownBy(() -> records().publish("big", new byte[1001]))
                .isInstanceOf(IllegalArgumentException.class);
        records().publish("fits", new byte[1000]);
        assertThat(records().read("fits")).hasValue(new byte[1000]);
        ExclusiveRecords smaller = new ExclusiveRecords(FileOperations.real(), folder, 999);
        assertThatThrownBy(() -> smaller.read("fits"))
                .isInstanceOf(DamagedFileException.class)
                .hasMessageContaining("at most 999");
    }

    @ParameterizedTest
    @ValueSource(strings = {
        "", ".", "..", "../x", "a/b", "/etc/passwd", ".tmp-x", "a b", "a\nb", "a\0b", "-x", "ä",
        "..\\x"
    })
    void namesThatAreNotPlainAreRefused(String name) {
        assertThatThrownBy(() -> records().publish(name, new byte[1]))
                .isInstanceOf(CheckpointException.class).hasMessageContaining("refused");
        assertThatThrownBy(() -> records().read(name)).isInstanceOf(CheckpointException.class);
    }

    @Test
    void aLinkOutOfTheFolderIsNotFollowed() throws IOException {
        Path inner = Files.createDirectory(folder.resolve("inner"));
        ExclusiveRecords outside = records();
        outside.publish("secret", bytes("x"));
        Files.createSymbolicLink(inner.resolve("r"), folder.resolve("secret"));
        ExclusiveRecords inside = new ExclusiveRecords(FileOperations.real(), inner, 1000);
        assertThatThrownBy(() -> inside.read("r"))
                .isInstanceOf(CheckpointException.class).hasMessageContaining("symbolic link");
        assertThatThrownBy(() -> inside.publish("r", bytes("y")))
                .isInstanceOf(CheckpointException.class).hasMessageContaining("symbolic link");
    }

    @Test
    void aLinkReportedAsFailedThoughItSucceededCountsAsWon() throws IOException {
        FileOperations retried = new ForwardingFiles(FileOperations.real()) {
            @Override
            public void link(Path link, Path existing) throws IOException {
                super.link(link, existing);
                throw new FileAlreadyExistsException(link.toString());
            }
        };
        assertThat(records(retried).publish("a", bytes("one"))).isEqualTo(new Outcome.Won());
    }

    @Test
    void storageWithoutHardLinksIsNamed() {
        List<Exception> ways = List.of(
                new UnsupportedOperationException(),
                new FileSystemException("a", "b", "Operation not permitted"),
                new FileSystemException("a", "b", "Operation not supported"));
        for (Exception way : ways) {
            FileOperations without = new ForwardingFiles(FileOperations.real()) {
                @Override
                public void link(Path link, Path existing) throws IOException {
                    switch (way) {
                        case IOException e -> throw e;
                        default -> throw (UnsupportedOperationException) way;
                    }
                }
            };
            assertThatThrownBy(() -> records(without).publish("a", bytes("one")))
                    .isInstanceOf(CheckpointException.class)
                    .hasMessageContaining("without hard links")
                    .hasMessageContaining(folder.toString());
        }
    }

    @Test
    void aFullDiskLeavesNothing() throws IOException {
        for (int n = 0; n < 3; n++) {
            InterruptedFiles full = InterruptedFiles.failingAt(n, "No space left on device");
            assertThatThrownBy(() -> records(full).publish("a", bytes("one")))
                    .isInstanceOf(StorageFullException.class)
                    .hasMessageContaining(folder.toString());
            assertThat(Fixtures.files(folder)).isEmpty();
        }
    }

    @Test
    void anAttemptThatDiesLeavesAWholeRecordOrNone() throws IOException {
        boolean finished = false;
        for (int n = 0; !finished; n++) {
            String name = "r" + n;
            try {
                records(InterruptedFiles.dyingAt(n)).publish(name, bytes("one"));
                finished = true;
            } catch (IOException e) {
                assertThat(e).hasMessage("the process died");
            }
            assertThat(records().read(name)).satisfiesAnyOf(
                    r -> assertThat(r).isEmpty(), r -> assertThat(r).hasValue(bytes("one")));
            assertThat(records().names()).allMatch(found -> found.startsWith("r"));
        }
    }
}
