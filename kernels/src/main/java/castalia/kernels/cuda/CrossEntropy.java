package castalia.kernels.cuda;

import castalia.kernels.Buffer;

/** Launches of softmax cross-entropy. */
final class CrossEntropy {

    /** Parts of the vocabulary that are joined at once. */
    private static final int MOST_PARTS = 128;

    private static final int ROW_THREADS = 512;
    private static final int COLUMNS_PER_BLOCK = 2048;

    private final Launcher launcher;
    private final long partial;
    private final long join;
    private final KernelFunctions.Typed gradient;

    CrossEntropy(KernelFunctions functions, Launcher launcher) {
        this.launcher = launcher;
        partial = functions.find("softmax_partial_f32");
        join = functions.find("softmax_join_f32");
        gradient = functions.typed("softmax_gradient");
    }

    void partial(Buffer logits, Buffer max, Buffer sum, Buffer target, Buffer labels, int first,
            int rows, int vocabulary) {
        launcher.of(partial).buffer(logits).buffer(max).buffer(sum).buffer(target).buffer(labels)
                .i32(first).i32(rows).i32(vocabulary).launch(rows, ROW_THREADS);
    }

    void join(Buffer loss, Buffer[] factor, Buffer[] max, Buffer[] sum, Buffer target, int rows) {
        launcher.of(join).buffer(loss).buffers(factor, MOST_PARTS).buffers(max, MOST_PARTS)
                .buffers(sum, MOST_PARTS).i32(factor.length).buffer(target).i32(rows)
                .launch(1, Grids.THREADS);
    }

    void gradient(Buffer dLogits, Buffer exponentials, Buffer factor, Buffer labels, float scale,
            int first, int rows, int vocabulary) {
        launcher.of(gradient.of(dLogits.type())).buffer(dLogits).buffer(exponentials)
                .buffer(factor).buffer(labels).f32(scale).i32(first).i32(rows).i32(vocabulary)
                .launch(rows, Grids.blocks(vocabulary, COLUMNS_PER_BLOCK, Grids.MOST_Y), 1,
                        Grids.THREADS, 0);
    }
}
