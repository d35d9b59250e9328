package castalia.workers.exchange.socket;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import castalia.protocol.identity.Fence;
import castalia.protocol.identity.Incarnation;
import castalia.workers.exchange.FrameTag;
import castalia.workers.exchange.FrameTag.Kind;
import castalia.workers.exchange.socket.Hello.Role;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.HexFormat;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.EnumSource;

class FrameHeaderTest {

    private static final Incarnation SENDER = new Incarnation(0x1122334455667788L);
    private static final int MOST = 1 << 20;

    private static FrameHeader.Data data(Kind kind) {
        return new FrameHeader.Data(
                SENDER, 3, new FrameTag(kind, 4, 0x0102030405L, 6, 7, 8), 0x304, 0x90A,
                0xDEADBEEF);
    }

    private static byte[] encoded(FrameHeader header) {
        ByteBuffer buffer = ByteBuffer.allocate(FrameHeader.BYTES);
        header.encode(buffer);
        assertThat(buffer.remaining()).isZero();
        return buffer.array();
    }

    private static FrameHeader decoded(byte[] bytes) throws RefusedException {
        return FrameHeader.decode(ByteBuffer.wrap(bytes), MOST);
    }

    /** Sets a field and makes the checksum fit again. */
    private static byte[] with(int at, int size, long value) {
        ByteBuffer bytes = ByteBuffer.wrap(encoded(data(Kind.VOTE))).order(ByteOrder.LITTLE_ENDIAN);
        switch (size) {
            case 1 -> bytes.put(at, (byte) value);
            case 2 -> bytes.putShort(at, (short) value);
            case 4 -> bytes.putInt(at, (int) value);
            default -> bytes.putLong(at, value);
        }
        bytes.putInt(60, Bytes.crc(bytes.slice(0, 60)));
        return bytes.array();
    }

    @Test
    void theBytesAreThese() {
        assertThat(HexFormat.of().formatHex(encoded(data(Kind.PARTIAL_GRADIENT)))).isEqualTo(
                "43535446" + "02" + "01" + "0403" + "8877665544332211" + "0300000000000000"
                        + "0400000000000000" + "0504030201000000" + "06000000" + "07000000"
                        + "08000000" + "0a090000" + "efbeadde" + "54c0e457");
        assertThat(HexFormat.of().formatHex(
                encoded(new FrameHeader.Stale(SENDER, new Fence(9, 10))))).isEqualTo(
                "43535446" + "02" + "40" + "0000" + "8877665544332211" + "0900000000000000"
                        + "0a00000000000000" + "00".repeat(28) + "57fd1c9f");
    }

    @ParameterizedTest
    @EnumSource(Kind.class)
    void everyKindComesBack(Kind kind) throws RefusedException {
        assertThat(decoded(encoded(data(kind)))).isEqualTo(data(kind));
        FrameHeader stale = new FrameHeader.Stale(SENDER, new Fence(1, 0));
        assertThat(decoded(encoded(stale))).isEqualTo(stale);
    }

    @Test
    void everyFlippedBitIsRefused() {
        byte[] bytes = encoded(data(Kind.WEIGHTS));
        for (int bit = 0; bit < 8 * bytes.length; bit++) {
            byte[] damaged = bytes.clone();
            damaged[bit / 8] ^= (byte) (1 << bit % 8);
            assertThatThrownBy(() -> decoded(damaged)).isInstanceOf(RefusedException.class)
                    .hasMessageStartingWith("damaged frame: ");
        }
    }

    @ParameterizedTest
    @CsvSource({
        "0, 4, 1, magic", "4, 1, 1, version", "5, 1, 0, kind", "5, 1, 15, kind", "5, 1, 64, stale",
        "6, 2, -1, pieces", "16, 8, -1, term", "24, 8, -1, generation", "32, 8, -1, step",
        "40, 4, -1, attempt", "44, 4, -1, chunk", "48, 4, -1, part", "52, 4, -1, length",
        "52, 4, 1048577, length 1048577"
    })
    void anImpossibleFieldIsRefusedByNameAlthoughTheChecksumFits(
            int at, int size, long value, String name) {
        assertThatThrownBy(() -> decoded(with(at, size, value)))
                .isInstanceOf(RefusedException.class).hasMessageContaining(name);
    }

    @Test
    void theLongestFrameIsAccepted() throws RefusedException {
        assertThat(decoded(with(52, 4, MOST)))
                .isInstanceOfSatisfying(FrameHeader.Data.class,
                        frame -> assertThat(frame.length()).isEqualTo(MOST));
    }

    @Test
    void aHelloComesBackAndEveryFlippedBitIsRefused() throws RefusedException {
        Hello hello = new Hello(Role.FEED, Planes.RUN, SENDER, new Incarnation(-1), 7);
        ByteBuffer bytes = ByteBuffer.allocate(Hello.BYTES);
        hello.encode(bytes);
        assertThat(bytes.remaining()).isZero();
        assertThat(Hello.decode(bytes.flip())).isEqualTo(hello);
        for (int bit = 0; bit < 8 * Hello.BYTES; bit++) {
            byte[] damaged = bytes.array().clone();
            damaged[bit / 8] ^= (byte) (1 << bit % 8);
            assertThatThrownBy(() -> Hello.decode(ByteBuffer.wrap(damaged)))
                    .isInstanceOf(RefusedException.class);
        }
    }
}
