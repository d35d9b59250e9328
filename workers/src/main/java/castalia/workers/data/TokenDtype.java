package castalia.workers.data;

import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.ByteOrder;

/**
 * Element type of the tokens in a {@code .bin} file; the code is the byte at offset 17 of the
 * {@code .idx} file. Little endian throughout.
 */
public enum TokenDtype {
    UINT8(1, 1),
    INT8(2, 1),
    INT16(3, 2),
    INT32(4, 4),
    INT64(5, 8),
    FLOAT32(6, 4),
    FLOAT64(7, 8),
    UINT16(8, 2);

    /** Vocabularies below this size are written as {@link #UINT16}, as GPT-NeoX does. */
    public static final int UINT16_BELOW = 65_500;

    static final ValueLayout.OfShort SHORT =
            ValueLayout.JAVA_SHORT_UNALIGNED.withOrder(ByteOrder.LITTLE_ENDIAN);
    static final ValueLayout.OfInt INT =
            ValueLayout.JAVA_INT_UNALIGNED.withOrder(ByteOrder.LITTLE_ENDIAN);
    static final ValueLayout.OfLong LONG =
            ValueLayout.JAVA_LONG_UNALIGNED.withOrder(ByteOrder.LITTLE_ENDIAN);
    private static final ValueLayout.OfFloat FLOAT =
            ValueLayout.JAVA_FLOAT_UNALIGNED.withOrder(ByteOrder.LITTLE_ENDIAN);
    private static final ValueLayout.OfDouble DOUBLE =
            ValueLayout.JAVA_DOUBLE_UNALIGNED.withOrder(ByteOrder.LITTLE_ENDIAN);

    private final int code;
    private final int bytes;

    TokenDtype(int code, int bytes) {
        this.code = code;
        this.bytes = bytes;
    }

    /** The code in the index header. */
    public int code() {
        return code;
    }

    /** Bytes per token. */
    public int bytes() {
        return bytes;
    }

    /** The type the writer uses for ids in [0, vocabularySize). */
    public static TokenDtype forVocabulary(int vocabularySize) {
        return vocabularySize < UINT16_BELOW ? UINT16 : INT32;
    }

    /**
     * Copies {@code count} tokens to {@code target} as native int32.
     *
     * @param source the mapped {@code .bin} file
     * @param from byte offset of the first token in {@code source}
     * @param targetByte byte offset of the first token in {@code target}
     * @return the number of tokens copied: less than {@code count} when the next one has no exact
     *     int32 value
     */
    int toInt32(
            MemorySegment source, long from, int count, MemorySegment target, long targetByte) {
        switch (this) {
            case UINT8 -> {
                for (int i = 0; i < count; i++) {
                    put(target, targetByte, i, source.get(ValueLayout.JAVA_BYTE, from + i) & 0xff);
                }
            }
            case INT8 -> {
                for (int i = 0; i < count; i++) {
                    put(target, targetByte, i, source.get(ValueLayout.JAVA_BYTE, from + i));
                }
            }
            case INT16 -> {
                for (int i = 0; i < count; i++) {
                    put(target, targetByte, i, source.get(SHORT, from + 2L * i));
                }
            }
            case UINT16 -> {
                for (int i = 0; i < count; i++) {
                    put(target, targetByte, i, source.get(SHORT, from + 2L * i) & 0xffff);
                }
            }
            case INT32 -> {
                for (int i = 0; i < count; i++) {
                    put(target, targetByte, i, source.get(INT, from + 4L * i));
                }
            }
            case INT64, FLOAT32, FLOAT64 -> {
                return wideToInt32(source, from, count, target, targetByte);
            }
        }
        return count;
    }

    private int wideToInt32(
            MemorySegment source, long from, int count, MemorySegment target, long targetByte) {
        for (int i = 0; i < count; i++) {
            long at = from + (long) bytes * i;
            double value =
                    switch (this) {
                        case INT64 -> source.get(LONG, at);
                        case FLOAT32 -> source.get(FLOAT, at);
                        case FLOAT64 -> source.get(DOUBLE, at);
                        case UINT8, INT8, INT16, INT32, UINT16 ->
                            throw new IllegalStateException("not a wide type: " + this);
                    };
            // Exact for every int32: rounding of a larger int64 to double stays out of range.
            int token = (int) value;
            if (token != value) {
                return i;
            }
            put(target, targetByte, i, token);
        }
        return count;
    }

    /** The value of one token as text, for messages. */
    String valueAt(MemorySegment source, long at) {
        return switch (this) {
            case UINT8 -> Integer.toString(source.get(ValueLayout.JAVA_BYTE, at) & 0xff);
            case INT8 -> Byte.toString(source.get(ValueLayout.JAVA_BYTE, at));
            case INT16 -> Short.toString(source.get(SHORT, at));
            case UINT16 -> Integer.toString(source.get(SHORT, at) & 0xffff);
            case INT32 -> Integer.toString(source.get(INT, at));
            case INT64 -> Long.toString(source.get(LONG, at));
            case FLOAT32 -> Float.toString(source.get(FLOAT, at));
            case FLOAT64 -> Double.toString(source.get(DOUBLE, at));
        };
    }

    private static void put(MemorySegment target, long targetByte, int i, int token) {
        target.set(ValueLayout.JAVA_INT_UNALIGNED, targetByte + 4L * i, token);
    }
}
