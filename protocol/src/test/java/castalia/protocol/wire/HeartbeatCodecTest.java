package castalia.protocol.wire;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import castalia.protocol.control.Heartbeat.Ping;
import castalia.protocol.control.Heartbeat.Pong;
import castalia.protocol.identity.Claimant;
import castalia.protocol.identity.Incarnation;
import java.util.HexFormat;
import org.junit.jupiter.api.Test;

class HeartbeatCodecTest {

    private static final Ping PING = new Ping(new Incarnation(0x0123456789abcdefL), 300);
    private static final Pong PONG = new Pong(new Incarnation(-2), 300, 7);

    @Test
    void theBytesAreTheGoldenOnesAndComeBack() throws MalformedMessageException {
        assertThat(HexFormat.of().formatHex(HeartbeatCodec.encode(PING)))
                .isEqualTo("080111efcdab896745230118ac02");
        assertThat(HexFormat.of().formatHex(HeartbeatCodec.encode(PONG)))
                .isEqualTo("080111feffffffffffffff18ac022007");
        assertThat(HeartbeatCodec.decodePing(HeartbeatCodec.encode(PING))).isEqualTo(PING);
        assertThat(HeartbeatCodec.decodePong(HeartbeatCodec.encode(PONG))).isEqualTo(PONG);
    }

    @Test
    void whatIsLongerOrAnotherMessageIsRefused() {
        assertThatThrownBy(() -> HeartbeatCodec.decodePing(new byte[65]))
                .isInstanceOf(MalformedMessageException.class);
        assertThatThrownBy(() -> HeartbeatCodec.decodePing(HeartbeatCodec.encode(PONG)))
                .isInstanceOf(MalformedMessageException.class);
        assertThatThrownBy(() -> HeartbeatCodec.decodePong(new byte[0]))
                .isInstanceOf(MalformedMessageException.class);
    }

    @Test
    void aClaimIsTextThatComesBackAndNothingElse() {
        Claimant claimant =
                new Claimant(new Incarnation(-1), "n1", "127.0.0.1", 4000, "pid 7 on host");
        assertThat(Claimant.parse(claimant.text())).contains(claimant);
        assertThat(Claimant.parse("node0 1234")).isEmpty();
        assertThat(Claimant.parse(claimant.text().replace("4000", "70000"))).isEmpty();
        assertThat(Claimant.parse(claimant.text().replace("ffff", "gggg"))).isEmpty();
        assertThatThrownBy(() -> new Claimant(new Incarnation(1), "a\nb", "h", 1, "p"))
                .isInstanceOf(IllegalArgumentException.class);
    }
}
