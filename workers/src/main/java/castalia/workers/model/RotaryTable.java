package castalia.workers.model;

import castalia.kernels.Arena;
import castalia.kernels.Buffer;
import castalia.kernels.DType;
import castalia.kernels.Device;
import castalia.protocol.model.ModelShape;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;

/** Cosines and sines of the rotary angles, F32, from angles in F64. */
final class RotaryTable {

    private RotaryTable() {}

    /**
     * Table (S, r): r/2 cosines, then r/2 sines of {@code position * base^(-2i/r)}; one element
     * where there is no rotation.
     */
    static Buffer allocate(ModelShape shape, int sequence, Device device, Arena arena) {
        int rotary = shape.rotaryDimensions();
        int half = rotary / 2;
        try (java.lang.foreign.Arena host = java.lang.foreign.Arena.ofConfined()) {
            long count = Math.max(1, (long) sequence * rotary);
            Buffer table = arena.allocate(DType.F32, count);
            MemorySegment values = host.allocate(count * Float.BYTES, Float.BYTES);
            for (int position = 0; position < sequence; position++) {
                for (int i = 0; i < half; i++) {
                    double angle =
                            position * StrictMath.pow(shape.rotaryBase(), -2.0 * i / rotary);
                    long at = (long) position * rotary + i;
                    values.setAtIndex(
                            ValueLayout.JAVA_FLOAT, at, (float) StrictMath.cos(angle));
                    values.setAtIndex(
                            ValueLayout.JAVA_FLOAT, at + half, (float) StrictMath.sin(angle));
                }
            }
            device.upload(table, values);
            return table;
        }
    }
}
