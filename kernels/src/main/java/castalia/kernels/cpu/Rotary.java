package castalia.kernels.cpu;

import castalia.kernels.Buffer;
import castalia.kernels.DType;

/** Rotation of the first dimensions of queries and keys, in place. */
final class Rotary extends WorkerPool.Task {

    private static final int ROWS_PER_BLOCK = 32;

    private long qkv;
    private DType type = DType.F32;
    private long table;
    private float sign;
    private int rows;
    private int sequence;
    private int heads;
    private int dimension;
    private int half;

    void run(WorkerPool pool, Buffer values, Buffer angles, boolean inverse, int batch, int length,
            int headCount, int size, int rotary) {
        qkv = values.segment().address();
        type = Rows.numbers(values.type());
        table = angles.segment().address();
        sign = inverse ? -1f : 1f;
        rows = batch * length;
        sequence = length;
        heads = headCount;
        dimension = size;
        half = rotary / 2;
        pool.run(this, (rows + ROWS_PER_BLOCK - 1) / ROWS_PER_BLOCK);
    }

    @Override
    void block(int block, int thread) {
        int end = Math.min(rows, (block + 1) * ROWS_PER_BLOCK);
        for (int row = block * ROWS_PER_BLOCK; row < end; row++) {
            long angles = table + 8L * half * (row % sequence);
            for (int head = 0; head < heads; head++) {
                long query = ((long) row * heads + head) * 3 * dimension;
                rotate(qkv + query * type.bytes(), angles);
                rotate(qkv + (query + dimension) * type.bytes(), angles);
            }
        }
    }

    private void rotate(long x, long angles) {
        if (type == DType.F32) {
            words(x, angles, half, sign);
        } else if (type == DType.BF16) {
            brainHalves(x, angles, half, sign);
        } else {
            halves(x, angles, half, sign);
        }
    }

    private static void words(long x, long angles, int half, float sign) {
        for (int i = 0; i < half; i++) {
            float cos = Memory.f32(angles + 4L * i);
            float sin = sign * Memory.f32(angles + 4L * (half + i));
            float a = Memory.f32(x + 4L * i);
            float b = Memory.f32(x + 4L * (half + i));
            Memory.f32(x + 4L * i, a * cos - b * sin);
            Memory.f32(x + 4L * (half + i), b * cos + a * sin);
        }
    }

    private static void brainHalves(long x, long angles, int half, float sign) {
        for (int i = 0; i < half; i++) {
            float cos = Memory.f32(angles + 4L * i);
            float sin = sign * Memory.f32(angles + 4L * (half + i));
            float a = Memory.bf16(x + 2L * i);
            float b = Memory.bf16(x + 2L * (half + i));
            Memory.bf16(x + 2L * i, a * cos - b * sin);
            Memory.bf16(x + 2L * (half + i), b * cos + a * sin);
        }
    }

    private static void halves(long x, long angles, int half, float sign) {
        for (int i = 0; i < half; i++) {
            float cos = Memory.f32(angles + 4L * i);
            float sin = sign * Memory.f32(angles + 4L * (half + i));
            float a = Memory.f16(x + 2L * i);
            float b = Memory.f16(x + 2L * (half + i));
            Memory.f16(x + 2L * i, a * cos - b * sin);
            Memory.f16(x + 2L * (half + i), b * cos + a * sin);
        }
    }
}
