package castalia.deploy.parity;

import castalia.checkpoints.hub.Safetensors;
import castalia.checkpoints.hub.TensorInfo;
import castalia.checkpoints.hub.TensorType;
import java.io.IOException;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.ByteOrder;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;

/** Reads whole tensors of small fixture files. */
final class Tensors {

    private static final ValueLayout.OfFloat FLOAT =
            ValueLayout.JAVA_FLOAT_UNALIGNED.withOrder(ByteOrder.LITTLE_ENDIAN);
    private static final ValueLayout.OfLong LONG =
            ValueLayout.JAVA_LONG_UNALIGNED.withOrder(ByteOrder.LITTLE_ENDIAN);

    private Tensors() {}

    /**
     * An F32 tensor's elements. The head may be called {@code lm_head}, its name in memory in newer
     * versions of transformers.
     */
    static float[] floats(Safetensors file, String wanted) throws IOException {
        String name = file.contains(wanted) ? wanted : wanted.replace("embed_out.", "lm_head.");
        TensorInfo info = file.info(name);
        if (info.type() != TensorType.F32 || info.elements() > Integer.MAX_VALUE - 8) {
            throw new IOException(file.file() + ": " + name + " has type " + info.type()
                    + " and " + info.elements() + " elements; F32 is expected");
        }
        MemorySegment data = file.data(name);
        float[] values = new float[(int) info.elements()];
        for (int i = 0; i < values.length; i++) {
            values[i] = data.get(FLOAT, 4L * i);
        }
        return values;
    }

    /** Token ids (steps, batch, S + 1) of an I64 tensor. */
    static List<int[][]> tokens(Path path, String name) throws IOException {
        try (Safetensors file = Safetensors.open(path)) {
            TensorInfo info = file.info(name);
            List<Long> shape = info.shape();
            if (info.type() != TensorType.I64 || shape.size() != 3 || shape.contains(0L)
                    || info.elements() > Integer.MAX_VALUE / 8 || shape.get(2) < 2) {
                throw new IOException(path + ": " + name + " has type " + info.type()
                        + " and shape " + shape + "; I64 (steps, batch, length) is expected");
            }
            MemorySegment data = file.data(name);
            List<int[][]> steps = new ArrayList<>();
            long at = 0;
            for (int s = 0; s < shape.get(0); s++) {
                int[][] rows = new int[shape.get(1).intValue()][shape.get(2).intValue()];
                for (int[] row : rows) {
                    for (int i = 0; i < row.length; i++, at += 8) {
                        row[i] = Math.toIntExact(data.get(LONG, at));
                    }
                }
                steps.add(rows);
            }
            return steps;
        }
    }
}
