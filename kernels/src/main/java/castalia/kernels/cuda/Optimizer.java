package castalia.kernels.cuda;

import static java.lang.foreign.ValueLayout.JAVA_DOUBLE;
import static java.lang.foreign.ValueLayout.JAVA_FLOAT;
import static java.lang.foreign.ValueLayout.JAVA_LONG;

import castalia.kernels.AdamW;
import castalia.kernels.Buffer;
import castalia.kernels.DigestSum;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;

/**
 * Launches of updates, digests, sums of squares and initial values. Where there are many chunks, a
 * table in working memory says where each lies: one launch for all of them, and one wait for all
 * results. Results lie before the table.
 */
final class Optimizer {

    private static final int DIGEST_BLOCKS = 2048;
    private static final int ELEMENTS_PER_BLOCK = 1 << 14;
    private static final long DIGEST_BYTES = 2L * Long.BYTES;

    /** As the kernels have it: seven 64-bit numbers, then eight floats. */
    private static final long UPDATE_BYTES = 7L * Long.BYTES + 8L * Float.BYTES;

    private static final long RANGE_BYTES = 2L * Long.BYTES;

    private final CudaDevice device;
    private final Launcher launcher;
    private final Working working;
    private final long sumsOfSquares;
    private final KernelFunctions.Typed adamW;
    private final long digest;
    private final KernelFunctions.Typed normal;
    private MemorySegment host = MemorySegment.NULL;

    Optimizer(CudaDevice device, KernelFunctions functions, Launcher launcher, Working working) {
        this.device = device;
        this.launcher = launcher;
        this.working = working;
        sumsOfSquares = functions.find("sums_of_squares_f32");
        adamW = functions.typed("adamw");
        digest = functions.find("digest_f32");
        normal = functions.typed("normal");
    }

    /** Host memory for a table or results; grows to the largest need. */
    private MemorySegment host(long bytes) {
        if (bytes > host.byteSize()) {
            host = Arena.ofAuto().allocate(2 * bytes, Long.BYTES);
        }
        return host.asSlice(0, bytes);
    }

    void sumsOfSquares(double[] sums, Buffer[] x) {
        int chunks = x.length;
        if (chunks == 0) {
            return;
        }
        MemorySegment table = host(chunks * RANGE_BYTES);
        for (int i = 0; i < chunks; i++) {
            table.set(JAVA_LONG, i * RANGE_BYTES, x[i].segment().address());
            table.set(JAVA_LONG, i * RANGE_BYTES + Long.BYTES, x[i].elements());
        }
        long bytes = (long) chunks * Double.BYTES;
        long results = working.of(bytes + table.byteSize());
        device.write(results + bytes, table);
        launcher.of(sumsOfSquares).i64(results).i64(results + bytes).launch(chunks, Grids.THREADS);
        MemorySegment read = host(bytes);
        device.read(read, results);
        for (int i = 0; i < chunks; i++) {
            sums[i] = read.getAtIndex(JAVA_DOUBLE, i);
        }
    }

    void adamW(Buffer[] weight, Buffer[] first, Buffer[] second, Buffer[] compute,
            Buffer[] gradient, AdamW[] scalars, long[] position, DigestSum[] sum) {
        int chunks = weight.length;
        if (chunks == 0) {
            return;
        }
        MemorySegment table = host(chunks * UPDATE_BYTES);
        long longest = 0;
        for (int i = 0; i < chunks; i++) {
            MemorySegment row = table.asSlice(i * UPDATE_BYTES, UPDATE_BYTES);
            Buffer[] all = {weight[i], first[i], second[i], compute[i], gradient[i]};
            for (int k = 0; k < all.length; k++) {
                row.setAtIndex(JAVA_LONG, k, all[k].segment().address());
            }
            row.setAtIndex(JAVA_LONG, 5, position[i]);
            row.setAtIndex(JAVA_LONG, 6, weight[i].elements());
            put(row.asSlice(7L * Long.BYTES), scalars[i]);
            longest = Math.max(longest, weight[i].elements());
        }
        long bytes = chunks * DIGEST_BYTES;
        long results = working.of(bytes + table.byteSize());
        device.clear(results, bytes);
        device.write(results + bytes, table);
        int blocks = Math.max(1, Grids.blocks(longest, ELEMENTS_PER_BLOCK, DIGEST_BLOCKS));
        for (int from = 0; from < chunks; from += Grids.MOST_Y) {
            launcher.of(adamW.of(compute[0].type())).i64(results + from * DIGEST_BYTES)
                    .i64(results + bytes + from * UPDATE_BYTES)
                    .launch(blocks, Math.min(Grids.MOST_Y, chunks - from), 1, Grids.THREADS, 0);
        }
        MemorySegment read = host(bytes);
        device.read(read, results);
        for (int i = 0; i < chunks; i++) {
            sum[i].a += read.getAtIndex(JAVA_LONG, 2L * i);
            sum[i].b += read.getAtIndex(JAVA_LONG, 2L * i + 1);
        }
    }

    private static void put(MemorySegment to, AdamW scalars) {
        to.setAtIndex(JAVA_FLOAT, 0, scalars.gradientFactor());
        to.setAtIndex(JAVA_FLOAT, 1, scalars.learningRate());
        to.setAtIndex(JAVA_FLOAT, 2, scalars.beta1());
        to.setAtIndex(JAVA_FLOAT, 3, scalars.beta2());
        to.setAtIndex(JAVA_FLOAT, 4, scalars.epsilon());
        to.setAtIndex(JAVA_FLOAT, 5, scalars.weightDecay());
        to.setAtIndex(JAVA_FLOAT, 6, scalars.inverseCorrection1());
        to.setAtIndex(JAVA_FLOAT, 7, scalars.inverseCorrection2());
    }

    void digest(Buffer weight, Buffer first, Buffer second, long position, long count,
            DigestSum sum) {
        long result = working.of(DIGEST_BYTES);
        device.clear(result, DIGEST_BYTES);
        launcher.of(digest).buffer(weight).buffer(first).buffer(second).i64(position).i64(count)
                .i64(result)
                .launch(Math.min(Grids.pieces(count), DIGEST_BLOCKS), Grids.THREADS);
        MemorySegment read = host(DIGEST_BYTES);
        device.read(read, result);
        sum.a += read.get(JAVA_LONG, 0);
        sum.b += read.get(JAVA_LONG, Long.BYTES);
    }

    void normal(Buffer out, double std, long seed, int tensor, int firstRow, int firstColumn,
            int tensorColumns, int rows, int columns) {
        launcher.of(normal.of(out.type())).buffer(out).f64(std).i64(seed).i32(tensor).i32(firstRow)
                .i32(firstColumn).i32(tensorColumns).i32(rows).i32(columns)
                .launch(Grids.pieces((long) rows * columns), Grids.THREADS);
    }
}
