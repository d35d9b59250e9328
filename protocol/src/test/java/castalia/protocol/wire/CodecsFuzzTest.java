package castalia.protocol.wire;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.assertj.core.api.Assertions.fail;

import castalia.protocol.wire.CodecsTest.Kind;
import com.sun.management.ThreadMXBean;
import java.lang.management.ManagementFactory;
import java.nio.ByteBuffer;
import java.util.Arrays;
import java.util.HexFormat;
import java.util.Random;
import java.util.concurrent.TimeUnit;
import java.util.stream.Stream;
import org.junit.jupiter.api.Named;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/** Seeded damage to messages: refused by one exception type, or read and written identically. */
@Timeout(value = 60, unit = TimeUnit.SECONDS)
class CodecsFuzzTest {

    private static final int MUTATIONS = 8_000;

    /** Fixed part: exceptions, their text and classes that are loaded late. */
    private static final long FIXED_BYTES = 256 << 10;

    private static final long BYTES_PER_BYTE = 64;

    static Stream<Named<Kind>> kinds() {
        return CodecsTest.kinds();
    }

    @ParameterizedTest
    @MethodSource("kinds")
    void damagedBytesAreRefusedOrMeanExactlyThemselves(Kind kind) {
        Random random = new Random(20_260_101);
        int refused = 0;
        for (int i = 0; i < MUTATIONS; i++) {
            byte[] sample = kind.samples().get(random.nextInt(kind.samples().size()));
            byte[] damaged = damage(sample, random);
            long before = allocated();
            try {
                byte[] again = kind.roundTrip(damaged);
                assertThat(again).as("mutation %d", i).isEqualTo(damaged);
            } catch (MalformedMessageException e) {
                assertThat(e.what()).isEqualTo(kind.name());
                refused++;
            } catch (RuntimeException e) {
                fail("mutation " + i + " of " + kind.name() + " threw " + e, e);
            }
            assertThat(allocated() - before)
                    .as("bytes allocated for mutation %d of %d bytes", i, damaged.length)
                    .isLessThan(FIXED_BYTES + BYTES_PER_BYTE * damaged.length);
        }
        assertThat(refused).isBetween(MUTATIONS / 2, MUTATIONS);
    }

    @Test
    void manyTinyElementsCostLittleMoreThanTheirBytes() {
        int count = 100_000;
        ByteBuffer buffer = ByteBuffer.allocate(2 + 36 * count);
        buffer.put((byte) 0x08).put((byte) 0x01);
        for (int i = 0; i < count; i++) {
            buffer.put(HexFormat.of().parseHex(
                    "22220d00000000" + "1212" + "090000000000000000" + "110000000000000000"
                            + "190000000000000000"));
        }
        byte[] bytes = buffer.array(); // a vote without its end
        long before = allocated();
        assertThatThrownBy(() -> Codecs.decodeVote(bytes))
                .hasMessageContaining("not the canonical ones");
        assertThat(allocated() - before).isLessThan(FIXED_BYTES + BYTES_PER_BYTE * bytes.length);
    }

    private static byte[] damage(byte[] sample, Random random) {
        byte[] bytes = sample.clone();
        int changes = 1 + random.nextInt(4);
        for (int c = 0; c < changes; c++) {
            int at = random.nextInt(bytes.length);
            switch (random.nextInt(6)) {
                case 0 -> bytes[at] ^= (byte) (1 << random.nextInt(8));
                case 1 -> bytes[at] = (byte) random.nextInt(256);
                case 2 -> bytes[at] = (byte) 0xff;
                case 3 -> bytes = Arrays.copyOf(bytes, Math.max(1, at));
                case 4 -> {
                    byte[] longer = Arrays.copyOf(bytes, bytes.length + 1);
                    System.arraycopy(bytes, at, longer, at + 1, bytes.length - at);
                    bytes = longer;
                }
                default -> {
                    int from = random.nextInt(bytes.length);
                    int length = Math.min(random.nextInt(40), bytes.length - Math.max(at, from));
                    System.arraycopy(bytes, from, bytes, at, length);
                }
            }
        }
        return bytes;
    }

    private static long allocated() {
        ThreadMXBean threads = (ThreadMXBean) ManagementFactory.getThreadMXBean();
        return threads.getCurrentThreadAllocatedBytes();
    }
}
