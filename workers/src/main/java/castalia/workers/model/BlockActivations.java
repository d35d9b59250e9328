package castalia.workers.model;

import castalia.kernels.Arena;
import castalia.kernels.Buffer;
import castalia.kernels.DType;
import castalia.protocol.planner.Recomputation;
import org.jspecify.annotations.Nullable;

/**
 * What a block's forward pass leaves for its backward pass, without the block's input. "Per slice"
 * means per slice computed here. What is computed again lies where every block has it ({@link Scratch}).
 *
 * @param mean1 row means of the first layer norm (R)
 * @param rstd1 reciprocal deviations (R)
 * @param mean2 as mean1 for the second layer norm; the same buffers in the parallel residual
 * @param rstd2 as rstd1 for the second layer norm
 * @param ln1 input of QKV (R, C)
 * @param ln2 input of the up-projection (R, C)
 * @param middle residual between attention and MLP (R, C); only in the sequential residual, else
 *     the same buffer as ln2
 * @param qkv per slice (R, 3C/T)
 * @param attention per slice (R, C/T)
 * @param lse per slice (B, H/T, S)
 * @param up per slice, before GELU (R, F/T)
 * @param gelu per slice, after GELU (R, F/T)
 */
@SuppressWarnings("ArrayRecordComponent") // one buffer per slice; never compared
record BlockActivations(
        Buffer mean1,
        Buffer rstd1,
        Buffer mean2,
        Buffer rstd2,
        Buffer ln1,
        Buffer ln2,
        RowBlocks middle,
        Buffer[] qkv,
        Buffer[] attention,
        Buffer[] lse,
        Buffer[] up,
        Buffer[] gelu) {

    /**
     * Memory of one block.
     *
     * @param scratch has what is always computed again
     * @param last that of a block made before, to share what is computed again; none for the first
     * @param again what is computed again
     */
    static BlockActivations allocate(ModelPlan plan, SliceJoin join, Arena arena, Scratch scratch,
            @Nullable BlockActivations last, Recomputation again) {
        if (last != null && again == Recomputation.BLOCK) {
            return last;
        }
        long rows = plan.rows();
        long full = rows * plan.hidden();
        DType type = plan.compute();
        boolean parallel = plan.shape().parallelResidual();
        Buffer mean = arena.allocate(DType.F32, rows);
        Buffer rstd = arena.allocate(DType.F32, rows);
        BlockActivations shared = again == Recomputation.ATTENTION ? last : null;
        return new BlockActivations(
                mean,
                rstd,
                parallel ? mean : arena.allocate(DType.F32, rows),
                parallel ? rstd : arena.allocate(DType.F32, rows),
                scratch.ln1(),
                scratch.ln2(),
                join.blocks(parallel ? scratch.ln2() : arena.allocate(type, full)),
                shared != null ? shared.qkv
                        : join.perSlice(_ -> arena.allocate(type, rows * 3 * plan.sliceHidden())),
                shared != null ? shared.attention
                        : join.perSlice(_ -> arena.allocate(type, rows * plan.sliceHidden())),
                shared != null ? shared.lse
                        : join.perSlice(_ -> arena.allocate(DType.F32, rows * plan.sliceHeads())),
                join.perSlice(_ -> arena.allocate(type, rows * plan.sliceIntermediate())),
                scratch.gelu());
    }
}
