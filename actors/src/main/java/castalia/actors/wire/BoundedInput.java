package castalia.actors.wire;

import com.esotericsoftware.kryo.io.Input;

/**
 * Kryo's input over an array, which believes no length that the bytes left cannot hold. Without
 * it, seven bytes make Kryo up to 5.6.2 allocate gigabytes. Kryo's serializers of collections, of
 * object arrays and of boolean[] allocate by a count of their own reading, so none of these classes
 * may be registered.
 */
final class BoundedInput extends Input {

    BoundedInput(byte[] bytes) {
        super(bytes);
    }

    private void checked(int count, int bytesEach) {
        if (count < 0 || count > (limit - position) / bytesEach) {
            throw new RefusedMessageException("claims " + count + " elements of " + bytesEach
                    + " bytes with " + (limit - position) + " bytes left");
        }
    }

    /** A count of elements, each of a byte or more. */
    int readCount() {
        int count = readVarInt(true);
        checked(count, 1);
        return count;
    }

    /** Lengths of texts, plus one. */
    @Override
    public int readVarIntFlag(boolean optimizePositive) {
        int value = super.readVarIntFlag(optimizePositive);
        checked(Math.max(value - 1, value < 0 ? value : 0), 1);
        return value;
    }

    @Override
    public byte[] readBytes(int length) {
        checked(length, 1);
        return super.readBytes(length);
    }

    @Override
    public int[] readInts(int length) {
        checked(length, Integer.BYTES);
        return super.readInts(length);
    }

    @Override
    public int[] readInts(int length, boolean optimizePositive) {
        checked(length, 1);
        return super.readInts(length, optimizePositive);
    }

    @Override
    public long[] readLongs(int length) {
        checked(length, Long.BYTES);
        return super.readLongs(length);
    }

    @Override
    public long[] readLongs(int length, boolean optimizePositive) {
        checked(length, 1);
        return super.readLongs(length, optimizePositive);
    }

    @Override
    public float[] readFloats(int length) {
        checked(length, Float.BYTES);
        return super.readFloats(length);
    }

    @Override
    public double[] readDoubles(int length) {
        checked(length, Double.BYTES);
        return super.readDoubles(length);
    }

    @Override
    public short[] readShorts(int length) {
        checked(length, Short.BYTES);
        return super.readShorts(length);
    }

    @Override
    public char[] readChars(int length) {
        checked(length, Character.BYTES);
        return super.readChars(length);
    }

    @Override
    public boolean[] readBooleans(int length) {
        checked(length, 1);
        return super.readBooleans(length);
    }
}
