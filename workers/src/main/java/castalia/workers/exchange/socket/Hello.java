package castalia.workers.exchange.socket;

import castalia.protocol.identity.Incarnation;
import castalia.workers.exchange.FrameTag.Kind;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.HexFormat;

/**
 * How a connection begins: 64 bytes, little-endian. Magic (int), version (byte), role (byte), ranks
 * (short), run hash (32 bytes), sender (long), receiver (long), zero (int), CRC32C of what stands
 * before it (int).
 *
 * @param run SHA-256 of the run's specification, 64 hexadecimal digits
 * @param sender who connects
 * @param receiver whom it expects
 * @param ranks of the generation, 32767 for more; 0 for a learner's
 */
record Hello(Role role, String run, Incarnation sender, Incarnation receiver, int ranks) {

    static final int BYTES = 64;
    static final int MAGIC = 0x48545343; // "CSTH"
    static final byte VERSION = 2;
    private static final int HASH_BYTES = 32;

    /** What a connection carries. */
    enum Role {
        /** Frames between ranks of one generation. */
        MEMBER(1),
        /** Frames for a learner, apart from the others so that a slow one holds up nobody. */
        FEED(2),
        /**
         * Requests for weights and their answers, apart from the others: they are never held up by
         * frames that nobody takes yet.
         */
        FETCH(3);

        private final byte code;

        Role(int code) {
            this.code = (byte) code;
        }

        /** Where frames of a kind travel. */
        static Role of(Kind kind) {
            return switch (kind) {
                case STATE, UPDATE -> FEED;
                case FETCH, FETCHED -> FETCH;
                case PARTIAL_GRADIENT, FINISHED_GRADIENT, VOTE, WEIGHTS, STORED, SLICE, MOVE,
                        MOVED, REACH, TAKEN -> MEMBER;
            };
        }

        private static Role of(byte code) throws RefusedException {
            for (Role role : values()) {
                if (role.code == code) {
                    return role;
                }
            }
            throw new RefusedException("hello with role " + code);
        }
    }

    Hello {
        if (!run.matches("[0-9a-f]{64}")) {
            throw new IllegalArgumentException("run hash '" + run + "'");
        }
        if (ranks < 0 || ranks > Short.MAX_VALUE) {
            throw new IllegalArgumentException(ranks + " ranks");
        }
    }

    void encode(ByteBuffer to) {
        to.order(ByteOrder.LITTLE_ENDIAN);
        int at = to.position();
        to.putInt(MAGIC).put(VERSION).put(role.code).putShort((short) ranks);
        to.put(HexFormat.of().parseHex(run)).putLong(sender.id()).putLong(receiver.id()).putInt(0);
        to.putInt(Bytes.crc(to.slice(at, BYTES - 4)));
    }

    static Hello decode(ByteBuffer from) throws RefusedException {
        from.order(ByteOrder.LITTLE_ENDIAN);
        int at = from.position();
        int magic = from.getInt();
        int version = from.get();
        byte role = from.get();
        int ranks = from.getShort();
        byte[] run = new byte[HASH_BYTES];
        from.get(run);
        long sender = from.getLong();
        long receiver = from.getLong();
        int zero = from.getInt();
        boolean intact = from.getInt() == Bytes.crc(from.slice(at, BYTES - 4));
        if (magic != MAGIC || version != VERSION || !intact || zero != 0 || ranks < 0) {
            throw new RefusedException("no hello of version " + VERSION);
        }
        return new Hello(Role.of(role), HexFormat.of().formatHex(run),
                new Incarnation(sender), new Incarnation(receiver), ranks);
    }
}
