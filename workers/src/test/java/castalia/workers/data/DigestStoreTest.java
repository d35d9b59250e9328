package castalia.workers.data;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.FileTime;
import java.time.Instant;
import java.util.List;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.stream.Stream;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class DigestStoreTest {
    private static final FileTime OLD = FileTime.from(Instant.parse("2024-01-01T00:00:00Z"));
    private static final Fixtures.Case FIXTURE = Fixtures.Case.named("multi_epoch");

    @TempDir Path folder;
    private Path prefix;
    private final AtomicInteger hashed = new AtomicInteger();

    @BeforeEach
    void copyAFixture() throws IOException {
        prefix = folder.resolve("data");
        Files.copy(Fixtures.file("multi_epoch.idx"), TokenFile.indexPath(prefix));
        Files.copy(Fixtures.file("multi_epoch.bin"), TokenFile.binPath(prefix));
        Files.setLastModifiedTime(TokenFile.binPath(prefix), OLD);
    }

    private String hash(long small, boolean trusting) {
        DigestStore store = new DigestStore(List.of(folder.resolve("cache")), small, trusting,
                (done, total) -> hashed.addAndGet(done == total ? 1 : 0));
        try (TokenFile file = TokenFile.open(prefix, store)) {
            return file.digest().binSha256();
        }
    }

    private void change(FileTime time) throws IOException {
        byte[] bytes = Files.readAllBytes(TokenFile.binPath(prefix));
        bytes[7] ^= 1;
        Files.write(TokenFile.binPath(prefix), bytes);
        Files.setLastModifiedTime(TokenFile.binPath(prefix), time);
    }

    private List<Path> records() throws IOException {
        if (!Files.exists(folder.resolve("cache"))) {
            return List.of();
        }
        try (Stream<Path> all = Files.list(folder.resolve("cache"))) {
            return all.toList();
        }
    }

    @Test
    void aLargeFileIsHashedOnceUntilItsTimeOrSizeChanges() throws IOException {
        String expected = FIXTURE.text("sha256_bin");
        assertThat(hash(0, true)).isEqualTo(expected);
        assertThat(hash(0, true)).isEqualTo(expected);
        assertThat(hashed).hasValue(1);
        change(FileTime.from(OLD.toInstant().plusNanos(1_000_000)));
        String changed = hash(0, true);
        assertThat(changed).isNotEqualTo(expected);
        assertThat(hashed).hasValue(2);
        assertThat(hash(0, true)).isEqualTo(changed);
        assertThat(hashed).hasValue(2);
        assertThat(records()).hasSize(1);
    }

    @Test
    void whoAsksForEveryByteGetsIt() throws IOException {
        String expected = hash(0, true);
        change(OLD);
        assertThat(hash(0, true)).isEqualTo(expected); // only its time could have told
        assertThat(hash(0, false)).isNotEqualTo(expected);
        assertThat(hash(0, true)).isNotEqualTo(expected); // and the record is renewed
    }

    @Test
    void aDamagedRecordIsAsNone() throws IOException {
        String expected = hash(0, true);
        Path record = records().getFirst();
        List<String> lines = Files.readAllLines(record);
        for (String text : List.of("", "x", String.join("\n", lines).replaceFirst("part \\d", "part 9"),
                lines.getFirst() + "\nno hash\n" + lines.getLast(), "\u0000\ufffd")) {
            Files.writeString(record, text);
            assertThat(hash(0, true)).isEqualTo(expected);
        }
        Files.write(record, new byte[] {(byte) 0xff, (byte) 0xfe, 0});
        assertThat(hash(0, true)).isEqualTo(expected);
        assertThat(hashed).hasValue(7);
    }

    @Test
    void aFileThatChangedAMomentAgoAndASmallOneLeaveNoRecord() throws IOException {
        hash(1 << 20, true);
        assertThat(records()).isEmpty();
        change(FileTime.from(Instant.now()));
        hash(0, true);
        assertThat(records()).isEmpty();
    }

    @Test
    void everyPartCounts() throws IOException {
        DataParts.shard(prefix, prefix, 1000, DataProgress.none());
        Files.delete(TokenFile.binPath(prefix));
        Path last = folder.resolve("data-00002-of-00002.bin");
        for (int i = 0; i < 3; i++) {
            Files.setLastModifiedTime(folder.resolve("data-0000" + i + "-of-00002.bin"), OLD);
        }
        assertThat(hash(0, true)).isEqualTo(FIXTURE.text("sha256_bin"));
        byte[] bytes = Files.readAllBytes(last);
        bytes[0] ^= 1;
        Files.write(last, bytes);
        assertThat(hash(0, true)).isNotEqualTo(FIXTURE.text("sha256_bin"));
    }

    @Test
    void aFolderThatCannotBeWrittenCostsOnlyTime() throws IOException {
        Files.writeString(folder.resolve("cache"), "in the way");
        assertThat(hash(0, true)).isEqualTo(FIXTURE.text("sha256_bin"));
        assertThat(hash(0, true)).isEqualTo(FIXTURE.text("sha256_bin"));
        assertThat(hashed).hasValue(2);
    }
}
