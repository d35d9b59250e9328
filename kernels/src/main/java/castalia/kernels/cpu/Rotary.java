package castalia.kernels.cpu;

import castalia.kernels.Buffer;

/** Rotation of the first dimensions of queries and keys, in place. */
final class Rotary extends WorkerPool.Task {

    private static final int ROWS_PER_BLOCK = 32;

    private long qkv;
    private boolean bf16;
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
        bf16 = Rows.isBf16(values.type());
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
                if (bf16) {
                    halves(qkv + 2 * query, angles, half, sign);
                    halves(qkv + 2 * (query + dimension), angles, half, sign);
                } else {
                    words(qkv + 4 * query, angles, half, sign);
                    words(qkv + 4 * (query + dimension), angles, half, sign);
                }
            }
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

    private static void halves(long x, long angles, int half, float sign) {
        for (int i = 0; i < half; i++) {
            float cos = Memory.f32(angles + 4L * i);
            float sin = sign * Memory.f32(angles + 4L * (half + i));
            float a = Memory.bf16(x + 2L * i);
            float b = Memory.bf16(x + 2L * (half + i));
            Memory.bf16(x + 2L * i, a * cos - b * sin);
            Memory.bf16(x + 2L * (half + i), b * cos + a * sin);
        }
    }
}
