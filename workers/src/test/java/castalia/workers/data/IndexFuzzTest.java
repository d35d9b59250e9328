package castalia.workers.data;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import castalia.workers.data.SampleOrder.Request;
import com.sun.management.ThreadMXBean;
import java.io.IOException;
import java.lang.management.ManagementFactory;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Random;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** Index files nobody wrote: a reader or one line that names file and byte, and little memory. */
@Timeout(value = 60, unit = TimeUnit.SECONDS)
class IndexFuzzTest {
    /** Allocated to open a pair of files, beside {@link #ALLOWED_TIMES} their sizes. */
    private static final long ALLOWED_BYTES = 32 << 10;

    private static final long ALLOWED_TIMES = 4;
    private static final ThreadMXBean THREADS =
            (ThreadMXBean) ManagementFactory.getThreadMXBean();

    @TempDir Path folder;

    /** Bytes at random, with a header that is right to a random degree. */
    private static byte[] anything(Random random) {
        int sequencesThatFit = 1 + random.nextInt(20);
        int length = switch (random.nextInt(4)) {
            case 0 -> random.nextInt(40);
            case 1 -> random.nextInt(400);
            default -> 34 + 12 * sequencesThatFit + 8 * (1 + random.nextInt(20));
        };
        byte[] bytes = new byte[length];
        random.nextBytes(bytes);
        ByteBuffer header = ByteBuffer.wrap(bytes).order(ByteOrder.LITTLE_ENDIAN);
        int right = Math.min(5, random.nextInt(9));
        if (right > 0 && length >= 9) {
            header.put(TokenIndex.MAGIC);
        }
        if (right > 1 && length >= 17) {
            header.putLong(9, 1);
        }
        if (right > 2 && length >= 18) {
            header.put(17, (byte) (1 + random.nextInt(8)));
        }
        if (right > 3 && length >= 34) {
            long sequences = random.nextInt(3) == 0
                    ? random.nextLong() >>> random.nextInt(64)
                    : sequencesThatFit;
            header.putLong(18, sequences);
            header.putLong(26, right > 4 ? (length - 34 - 12 * sequences) / 8 : random.nextLong());
        }
        if (right > 4 && length >= 34 && random.nextBoolean()) {
            plausible(random, header, length);
        }
        return bytes;
    }

    /** Small sizes and the pointers that belong to them, some of which are then spoilt. */
    private static void plausible(Random random, ByteBuffer index, int length) {
        long sequences = Math.max(0, Math.min(index.getLong(18), (length - 34) / 12));
        long pointer = 0;
        for (int i = 0; i < sequences; i++) {
            int size = random.nextInt(20) == 0 ? random.nextInt() : random.nextInt(5);
            index.putInt(34 + 4 * i, size);
            index.putLong((int) (34 + 4 * sequences + 8 * i), pointer);
            pointer += (long) size * 2;
        }
        int first = (int) (34 + 12 * sequences);
        for (int at = first; at + 8 <= length; at += 8) {
            boolean wild = random.nextInt(20) == 0;
            index.putLong(at, wild ? random.nextLong() : at == first ? 0 : sequences);
        }
    }

    @ParameterizedTest
    @ValueSource(longs = {1, 2, 3})
    void anyBytesAreReadOrRefusedByNameAndByteWithLittleMemory(long seed) throws IOException {
        Random random = new Random(seed);
        Path prefix = folder.resolve("fuzzed");
        int read = 0;
        for (int i = 0; i < 300; i++) {
            byte[] bytes = anything(random);
            int tokenBytes = random.nextInt(64);
            Files.write(TokenFile.indexPath(prefix), bytes);
            Files.write(TokenFile.binPath(prefix), new byte[tokenBytes]);
            long allocated = allocated(() -> {
                try (TokenFile file = TokenFile.open(prefix)) {
                    for (long s = 0; s < file.sequences(); s++) {
                        if (file.size(s) > 0) {
                            file.token(s, file.size(s) - 1);
                        }
                    }
                } catch (DataException e) {
                    assertThat(e.getMessage()).doesNotContain("\n")
                            .matches(".*fuzzed\\.(idx|bin): .*(byte \\d+|\\d+ bytes).*");
                }
            });
            assertThat(allocated).as("of %d bytes", bytes.length).isLessThan(
                    ALLOWED_BYTES + ALLOWED_TIMES * (bytes.length + tokenBytes));
            try (TokenSizes sizes = TokenSizes.open(prefix)) {
                read++;
                SampleOrder.build(sizes, Request.all(sizes, 4, 10, 1));
            } catch (DataException e) {
                assertThat(e.getMessage()).doesNotContain("\n");
            }
        }
        assertThat(read).isPositive();
    }

    /** A large index is mapped, not read into memory, and so is one that is damaged at its end. */
    @Test
    void aLargeIndexTakesNoMemory() throws IOException {
        int sequences = 200_000;
        ByteBuffer index = ByteBuffer.allocate(34 + 20 * sequences + 8).order(ByteOrder.LITTLE_ENDIAN);
        index.put(TokenIndex.MAGIC).putLong(1).put((byte) 8).putLong(sequences)
                .putLong(sequences + 1L);
        for (int i = 0; i < sequences; i++) {
            index.putInt(34 + 4 * i, 1).putLong(34 + 4 * sequences + 8 * i, 2L * i)
                    .putLong(34 + 12 * sequences + 8 * i, i);
        }
        Path prefix = folder.resolve("large");
        Files.write(TokenFile.binPath(prefix), new byte[2 * sequences]);
        for (long last : new long[] {sequences, sequences, 1L << 60}) {
            index.putLong(34 + 20 * sequences, last);
            Files.write(TokenFile.indexPath(prefix), index.array());
            long allocated = allocated(() -> {
                try (TokenFile file = TokenFile.open(prefix)) {
                    assertThat(file.sequences()).isEqualTo(sequences);
                } catch (DataException e) {
                    assertThat(e.getMessage()).contains("at byte " + (34 + 20 * sequences));
                    assertThat(last).isGreaterThan(sequences);
                }
            });
            assertThat(allocated).isLessThan(ALLOWED_BYTES); // of 4 MB
        }
    }

    private static long allocated(Runnable work) {
        work.run(); // loads classes
        long before = THREADS.getCurrentThreadAllocatedBytes();
        work.run();
        return THREADS.getCurrentThreadAllocatedBytes() - before;
    }

    /** One token and a billion samples: the list of documents would be larger than any machine. */
    @Test
    void anOrderBeyondTheMachineIsRefusedBeforeItIsAllocated() {
        int[] sizes = new int[1000];
        sizes[3] = 1;
        assertThatThrownBy(() -> SampleOrder.build(
                        SequenceSizes.of(sizes), new Request(0, 1000, 2048, 1_000_000_000, 1)))
                .isInstanceOf(DataException.class)
                .hasMessageContaining("bytes of memory");
        OrderStore store = OrderStore.alwaysIn(folder, DataProgress.none(), _ -> {});
        assertThatThrownBy(() -> store.order(
                        SequenceSizes.of(sizes), new Request(0, 1000, 2048, 1_000_000_000, 1)))
                .isInstanceOf(DataException.class)
                .hasMessageContaining("bytes of memory");
        assertThat(folder.toFile().list()).allMatch(name -> name.endsWith(".lock"));
    }
}
