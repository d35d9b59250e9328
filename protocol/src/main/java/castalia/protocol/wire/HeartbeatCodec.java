package castalia.protocol.wire;

import castalia.protocol.control.Heartbeat.Ping;
import castalia.protocol.control.Heartbeat.Pong;
import castalia.protocol.identity.Incarnation;
import castalia.protocol.wire.generated.HeartbeatProtos.PingMessage;
import castalia.protocol.wire.generated.HeartbeatProtos.PongMessage;
import java.util.Map;

/** Heartbeats to bytes and back, by the rules of {@link Codecs}. */
public final class HeartbeatCodec {

    /** Most bytes of a heartbeat. */
    public static final int MOST_BYTES = 64;

    private static final int FORMAT = 1;
    private static final Bounds PING =
            new Bounds("ping", PingMessage.getDescriptor(), FORMAT, MOST_BYTES, Map.of());
    private static final Bounds PONG =
            new Bounds("pong", PongMessage.getDescriptor(), FORMAT, MOST_BYTES, Map.of());

    private HeartbeatCodec() {}

    /** The canonical bytes of a question. */
    public static byte[] encode(Ping ping) {
        return message(ping).toByteArray();
    }

    /** Reads what {@link #encode(Ping)} wrote. */
    public static Ping decodePing(byte[] bytes) throws MalformedMessageException {
        return Codecs.decode(PING, bytes, PingMessage.parser(),
                m -> new Ping(new Incarnation(m.getTo()), m.getSequence()), HeartbeatCodec::message);
    }

    /** The canonical bytes of an answer. */
    public static byte[] encode(Pong pong) {
        return message(pong).toByteArray();
    }

    /** Reads what {@link #encode(Pong)} wrote. */
    public static Pong decodePong(byte[] bytes) throws MalformedMessageException {
        return Codecs.decode(PONG, bytes, PongMessage.parser(),
                m -> new Pong(new Incarnation(m.getFrom()), m.getSequence(), m.getTerm()),
                HeartbeatCodec::message);
    }

    private static PingMessage message(Ping ping) {
        return PingMessage.newBuilder().setFormat(FORMAT).setTo(ping.to().id())
                .setSequence(ping.sequence()).build();
    }

    private static PongMessage message(Pong pong) {
        return PongMessage.newBuilder().setFormat(FORMAT).setFrom(pong.from().id())
                .setSequence(pong.sequence()).setTerm(pong.term()).build();
    }
}
