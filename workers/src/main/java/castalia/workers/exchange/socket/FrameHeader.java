package castalia.workers.exchange.socket;

import castalia.protocol.identity.Fence;
import castalia.protocol.identity.Incarnation;
import castalia.workers.exchange.FrameTag;
import castalia.workers.exchange.FrameTag.Kind;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.List;

/**
 * What stands before every payload: 64 bytes, little-endian.
 *
 * <pre>
 *  0 int   magic            24 long generation     48 int part
 *  4 byte  version          32 long step           52 int length of the payload
 *  5 byte  kind             40 int  attempt        56 int CRC32C of the payload
 *  6 short pieces left      44 int  chunk          60 int CRC32C of bytes 0 to 59
 *  8 long  sender
 * 16 long  term
 * </pre>
 */
sealed interface FrameHeader {

    /** Bytes of a header. */
    int BYTES = 64;

    /** "CSTF" as it stands in the stream. */
    int MAGIC = 0x46545343;

    /** Version of the layout. */
    byte VERSION = 2;

    /** Kind of a {@link Stale} answer, outside the range of payloads. */
    byte STALE = 64;

    /** Every kind, without a copy per frame. */
    List<Kind> KINDS = List.of(Kind.values());

    /** The process that wrote it. */
    Incarnation sender();

    /** The generation it belongs to. */
    Fence fence();

    /**
     * A payload, or a piece of one, follows.
     *
     * @param left pieces of the same payload that come after this one
     * @param length bytes that follow
     * @param payloadCrc their CRC32C
     */
    record Data(
            Incarnation sender, long term, FrameTag tag, int left, int length, int payloadCrc)
            implements FrameHeader {

        public Data {
            if (term < 0 || left < 0 || left > Short.MAX_VALUE || length < 0) {
                throw new IllegalArgumentException(
                        "term " + term + ", " + left + " pieces left, length " + length);
            }
            if (tag.generation() < 0 || tag.step() < 0 || tag.attempt() < 0 || tag.chunk() < 0
                    || tag.part() < 0) {
                throw new IllegalArgumentException("negative field in " + tag);
            }
        }

        @Override
        public Fence fence() {
            return new Fence(term, tag.generation());
        }
    }

    /**
     * The answer to a frame whose fence is old.
     *
     * @param fence the newest one its sender knows
     */
    record Stale(Incarnation sender, Fence fence) implements FrameHeader {}

    /** Writes the header at the buffer's position, which moves by {@link #BYTES}. */
    default void encode(ByteBuffer to) {
        to.order(ByteOrder.LITTLE_ENDIAN);
        int at = to.position();
        to.putInt(MAGIC).put(VERSION);
        switch (this) {
            case Data(Incarnation sender, long term, FrameTag tag, int left, int length,
                    int payloadCrc) ->
                to.put(code(tag.kind())).putShort((short) left)
                        .putLong(sender.id()).putLong(term).putLong(tag.generation())
                        .putLong(tag.step()).putInt(tag.attempt()).putInt(tag.chunk())
                        .putInt(tag.part()).putInt(length).putInt(payloadCrc);
            case Stale(Incarnation sender, Fence fence) ->
                to.put(STALE).putShort((short) 0)
                        .putLong(sender.id()).putLong(fence.term()).putLong(fence.generation())
                        .putLong(0).putLong(0).putLong(0).putInt(0);
        }
        to.putInt(Bytes.crc(to.slice(at, BYTES - 4)));
    }

    /**
     * Reads the header at the buffer's position, which moves by {@link #BYTES}.
     *
     * @param mostBytes longest payload that is accepted
     * @throws RefusedException if any field is impossible
     */
    static FrameHeader decode(ByteBuffer from, int mostBytes) throws RefusedException {
        from.order(ByteOrder.LITTLE_ENDIAN);
        int at = from.position();
        int magic = from.getInt();
        int version = from.get();
        byte kind = from.get();
        int left = from.getShort();
        Incarnation sender = new Incarnation(from.getLong());
        long term = from.getLong();
        long generation = from.getLong();
        long step = from.getLong();
        int attempt = from.getInt();
        int chunk = from.getInt();
        int part = from.getInt();
        int length = from.getInt();
        int payloadCrc = from.getInt();
        require(magic == MAGIC, "magic", magic);
        require(from.getInt() == Bytes.crc(from.slice(at, BYTES - 4)), "header checksum of kind", kind);
        require(version == VERSION, "version", version);
        require(left >= 0, "pieces left", left);
        require(term >= 0, "term", term);
        require(generation >= 0, "generation", generation);
        require(step >= 0, "step", step);
        require(attempt >= 0, "attempt", attempt);
        require(chunk >= 0, "chunk", chunk);
        require(part >= 0, "part", part);
        if (kind == STALE) {
            require((left | step | attempt | chunk | part | length | payloadCrc) == 0,
                    "stale answer with length", length);
            return new Stale(sender, new Fence(term, generation));
        }
        require(length >= 0 && length <= mostBytes, "length", length);
        FrameTag tag = new FrameTag(kind(kind), generation, step, attempt, chunk, part);
        return new Data(sender, term, tag, left, length, payloadCrc);
    }

    private static void require(boolean holds, String field, long value) throws RefusedException {
        if (!holds) {
            throw new RefusedException("damaged frame: " + field + " " + value);
        }
    }

    private static byte code(Kind kind) {
        return switch (kind) {
            case PARTIAL_GRADIENT -> 1;
            case FINISHED_GRADIENT -> 2;
            case VOTE -> 3;
            case WEIGHTS -> 4;
            case STORED -> 5;
            case STATE -> 6;
            case UPDATE -> 7;
            case SLICE -> 8;
            case MOVE -> 9;
            case MOVED -> 10;
            case FETCH -> 11;
            case FETCHED -> 12;
            case REACH -> 13;
            case TAKEN -> 14;
        };
    }

    private static Kind kind(byte code) throws RefusedException {
        for (Kind kind : KINDS) {
            if (code(kind) == code) {
                return kind;
            }
        }
        throw new RefusedException("damaged frame: kind " + code);
    }
}
