package castalia.kernels.cuda;

import castalia.kernels.Buffer;

/** Launches of softmax cross-entropy. Logits stay as they are until their gradients are computed. */
final class CrossEntropy {

    /** Parts of the vocabulary that are joined at once. */
    private static final int MOST_PARTS = 128;

    private static final int ROW_THREADS = 512;
    private static final int COLUMNS_PER_BLOCK = 2048;

    private final Launcher launcher;
    private final Working working;
    private final long partial;
    private final long join;
    private final long sumLosses;
    private final KernelFunctions.Typed gradient;

    CrossEntropy(KernelFunctions functions, Launcher launcher, Working working) {
        this.launcher = launcher;
        this.working = working;
        partial = functions.find("softmax_partial_f32");
        join = functions.find("softmax_join_f32");
        sumLosses = functions.find("sum_losses_f64");
        gradient = functions.typed("softmax_gradient");
    }

    void partial(Buffer logits, Buffer max, Buffer sum, Buffer target, Buffer labels, int first,
            int rows, int vocabulary) {
        launcher.of(partial).buffer(logits).buffer(max).buffer(sum).buffer(target).buffer(labels)
                .i32(first).i32(rows).i32(vocabulary).launch(rows, ROW_THREADS);
    }

    /** Losses are summed by blocks of rows; of several, a second launch sums what they left. */
    void join(Buffer loss, Buffer[] factor, Buffer[] max, Buffer[] sum, Buffer target, int rows) {
        int blocks = Grids.blocks(rows, Grids.THREADS, Integer.MAX_VALUE);
        long losses = blocks == 1 ? loss.segment().address()
                : working.of((long) blocks * Double.BYTES);
        launcher.of(join).i64(losses).buffers(factor, MOST_PARTS).buffers(max, MOST_PARTS)
                .buffers(sum, MOST_PARTS).i32(factor.length).buffer(target).i32(rows)
                .launch(blocks, Grids.THREADS);
        if (blocks > 1) {
            launcher.of(sumLosses).buffer(loss).i64(losses).i32(blocks).launch(1, Grids.THREADS);
        }
    }

    void gradient(Buffer dLogits, Buffer logits, Buffer max, Buffer factor, Buffer labels,
            float scale, int first, int rows, int vocabulary) {
        launcher.of(gradient.of(dLogits.type())).buffer(dLogits).buffer(logits).buffer(max)
                .buffer(factor).buffer(labels).f32(scale).i32(first).i32(rows).i32(vocabulary)
                .launch(rows, Grids.blocks(vocabulary, COLUMNS_PER_BLOCK, Grids.MOST_Y), 1,
                        Grids.THREADS, 0);
    }
}
