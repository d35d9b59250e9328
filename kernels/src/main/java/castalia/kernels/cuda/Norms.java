package castalia.kernels.cuda;

import castalia.kernels.Buffer;
import castalia.kernels.DType;
import castalia.kernels.Kernels;
import org.jspecify.annotations.Nullable;

/** Launches of layer norms and of sums over rows, whose partial sums lie in working memory. */
final class Norms {

    private static final int WIDE = 1024;
    private static final int WIDEST = 8192;
    private static final int ROWS_PER_BLOCK = 4;
    private static final int NARROW_THREADS = 128;
    private static final int COLUMNS_PER_BLOCK = 128;
    private static final int GROUP_THREADS = 64;

    /** Kernels for rows of up to 1024 columns, and for longer ones. */
    private record Widths(KernelFunctions.Typed narrow, KernelFunctions.Typed wide) {

        static Widths of(KernelFunctions functions, String name) {
            return new Widths(functions.typed(name), functions.typed(name + "_wide"));
        }

        long of(DType type, int columns) {
            if (columns > WIDEST) {
                throw new IllegalArgumentException("the CUDA back end's layer norm takes up to "
                        + WIDEST + " columns, not " + columns);
            }
            return (columns > WIDE ? wide : narrow).of(type);
        }
    }

    private final Launcher launcher;
    private final Working working;
    private final Widths one;
    private final Widths two;
    private final Widths oneInput;
    private final Widths twoInput;
    private final KernelFunctions.Typed biasGroups;
    private final KernelFunctions.Typed oneGroups;
    private final KernelFunctions.Typed twoGroups;
    private final long fold;

    Norms(KernelFunctions functions, Launcher launcher, Working working) {
        this.launcher = launcher;
        this.working = working;
        one = Widths.of(functions, "layer_norm");
        two = Widths.of(functions, "layer_norm_double");
        oneInput = Widths.of(functions, "layer_norm_input");
        twoInput = Widths.of(functions, "layer_norm_double_input");
        biasGroups = functions.typed("bias_groups");
        oneGroups = functions.typed("layer_norm_groups");
        twoGroups = functions.typed("layer_norm_double_groups");
        fold = functions.find("fold_groups_f32");
    }

    void forward(Buffer out, Buffer mean, Buffer rstd, Buffer x, Buffer weight, Buffer bias,
            float epsilon, int rows, int columns) {
        DType type = Grids.same("layerNorm", out, x);
        Grids.same("layerNorm", x, weight);
        launcher.of(one.of(type, columns)).buffer(out).buffer(mean).buffer(rstd).buffer(x)
                .buffer(weight).buffer(bias).f32(epsilon).i32(rows).i32(columns);
        launchRows(rows, columns);
    }

    void forward(Buffer out1, Buffer out2, Buffer mean, Buffer rstd, Buffer x, Buffer weight1,
            Buffer bias1, Buffer weight2, Buffer bias2, float epsilon, int rows, int columns) {
        DType type = Grids.same("layerNormDouble", out1, x);
        Grids.same("layerNormDouble", x, weight1);
        launcher.of(two.of(type, columns)).buffer(out1).buffer(out2).buffer(mean).buffer(rstd)
                .buffer(x).buffer(weight1).buffer(bias1).buffer(weight2).buffer(bias2)
                .f32(epsilon).i32(rows).i32(columns);
        launchRows(rows, columns);
    }

    private void launchRows(int rows, int columns) {
        if (columns > WIDE) {
            launcher.launch(rows, Grids.THREADS);
        } else {
            launcher.launch(Grids.blocks(rows, ROWS_PER_BLOCK, Integer.MAX_VALUE), NARROW_THREADS);
        }
    }

    /** Sums over rows come first: {@code dx} may lie where one of the operands does. */
    void backward(Buffer dx, Buffer dWeight, Buffer dBias, @Nullable Buffer dResidual, Buffer dOut,
            Buffer x, Buffer mean, Buffer rstd, Buffer weight, int rows, int columns,
            boolean accumulate) {
        String name = "layerNormBackward";
        DType type = same(name, dx, dResidual, dOut, x);
        Grids.same(name, x, weight);
        long partials = partials(2, rows, columns);
        launcher.of(oneGroups.of(type)).i64(partials).buffer(dOut).buffer(x).buffer(mean)
                .buffer(rstd).i32(rows).i32(columns);
        launchGroups(rows, columns);
        fold(dWeight, dBias, null, null, partials, 2, rows, columns, accumulate);
        launcher.of(oneInput.of(type, columns)).buffer(dx).buffer(dResidual).buffer(dOut).buffer(x)
                .buffer(mean).buffer(rstd).buffer(weight).i32(rows).i32(columns);
        launchRows(rows, columns);
    }

    void backward(Buffer dx, Buffer dWeight1, Buffer dBias1, Buffer dWeight2, Buffer dBias2,
            Buffer dResidual, Buffer dOut1, Buffer dOut2, Buffer x, Buffer mean, Buffer rstd,
            Buffer weight1, Buffer weight2, int rows, int columns, boolean accumulate) {
        String name = "layerNormDoubleBackward";
        DType type = same(name, dx, dResidual, dOut1, x);
        Grids.same(name, x, weight1);
        long partials = partials(4, rows, columns);
        launcher.of(twoGroups.of(type)).i64(partials).buffer(dOut1).buffer(dOut2).buffer(x)
                .buffer(mean).buffer(rstd).i32(rows).i32(columns);
        launchGroups(rows, columns);
        fold(dWeight1, dBias1, dWeight2, dBias2, partials, 4, rows, columns, accumulate);
        launcher.of(twoInput.of(type, columns)).buffer(dx).buffer(dResidual).buffer(dOut1)
                .buffer(dOut2).buffer(x).buffer(mean).buffer(rstd).buffer(weight1).buffer(weight2)
                .i32(rows).i32(columns);
        launchRows(rows, columns);
    }

    private static DType same(
            String name, Buffer dx, @Nullable Buffer dResidual, Buffer dOut, Buffer x) {
        if (dResidual != null) {
            Grids.same(name, dResidual, x);
        }
        Grids.same(name, dOut, x);
        return Grids.same(name, dx, x);
    }

    /** Column sums by groups of rows. */
    void biasGradient(Buffer dBias, Buffer dOut, int rows, int columns, boolean accumulate) {
        long partials = partials(1, rows, columns);
        launcher.of(biasGroups.of(dOut.type())).i64(partials).buffer(dOut).i32(rows).i32(columns);
        launchGroups(rows, columns);
        fold(dBias, null, null, null, partials, 1, rows, columns, accumulate);
    }

    private long partials(int sums, int rows, int columns) {
        return working.of((long) sums * groups(rows) * columns * Float.BYTES);
    }

    private static int groups(int rows) {
        int groups = Grids.blocks(rows, Kernels.ROW_GROUP, Integer.MAX_VALUE);
        if (groups > Grids.MOST_Y) {
            throw new IllegalArgumentException("the CUDA back end sums up to "
                    + Grids.MOST_Y * Kernels.ROW_GROUP + " rows, not " + rows);
        }
        return groups;
    }

    private void launchGroups(int rows, int columns) {
        launcher.launch(Grids.blocks(columns, COLUMNS_PER_BLOCK, Integer.MAX_VALUE),
                groups(rows), 1, GROUP_THREADS, 0);
    }

    private void fold(Buffer out0, @Nullable Buffer out1, @Nullable Buffer out2,
            @Nullable Buffer out3, long partials, int sums, int rows, int columns,
            boolean accumulate) {
        launcher.of(fold).buffer(out0).buffer(out1).buffer(out2).buffer(out3).i64(partials)
                .i32(groups(rows)).i32(columns).flag(accumulate);
        launcher.launch(Grids.blocks(columns, COLUMNS_PER_BLOCK, Integer.MAX_VALUE), sums, 1,
                COLUMNS_PER_BLOCK, 0);
    }
}
