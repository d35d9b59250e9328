package castalia.workers.model;

import castalia.kernels.Arena;
import castalia.kernels.Buffer;
import castalia.kernels.DType;

/**
 * Working memory that blocks share, since only one block computes at a time.
 *
 * @param partial F32 partial outputs per slice (R, C)
 * @param dInput1 partial input gradients of QKV per slice (R, C)
 * @param dInput2 partial input gradients of the up-projection per slice (R, C)
 * @param dLn1 gradient at the QKV input (R, C)
 * @param dLn2 gradient at the up-projection input (R, C)
 * @param dQkv gradient of a slice's QKV (R, 3C/T)
 * @param dAttention gradient of a slice's attention output (R, C/T)
 * @param dUp gradient of a slice's feed-forward width (R, F/T)
 * @param rotaryTable cosines and sines per position (S, rotary)
 */
@SuppressWarnings("ArrayRecordComponent") // one buffer per slice; never compared
record Scratch(
        Buffer[] partial,
        Buffer[] dInput1,
        Buffer[] dInput2,
        Buffer dLn1,
        Buffer dLn2,
        Buffer dQkv,
        Buffer dAttention,
        Buffer dUp,
        Buffer rotaryTable) {

    static Scratch allocate(ModelPlan plan, Arena arena, Buffer rotaryTable, boolean backward) {
        long full = (long) plan.rows() * plan.hidden();
        Buffer[] partial =
                BlockActivations.perSlice(plan, _ -> arena.allocate(DType.F32, full));
        if (!backward) {
            Buffer none = arena.allocate(plan.compute(), 0);
            return new Scratch(partial, new Buffer[0], new Buffer[0], none, none, none, none, none,
                    rotaryTable);
        }
        DType type = plan.compute();
        Buffer dLn1 = arena.allocate(type, full);
        Buffer dLn2 = arena.allocate(type, full);
        boolean direct = plan.slices() == 1;
        return new Scratch(
                partial,
                direct
                        ? new Buffer[] {dLn1}
                        : BlockActivations.perSlice(plan, _ -> arena.allocate(DType.F32, full)),
                direct
                        ? new Buffer[] {dLn2}
                        : BlockActivations.perSlice(plan, _ -> arena.allocate(DType.F32, full)),
                dLn1,
                dLn2,
                arena.allocate(type, (long) plan.rows() * 3 * plan.sliceHidden()),
                arena.allocate(type, (long) plan.rows() * plan.sliceHidden()),
                arena.allocate(type, (long) plan.rows() * plan.sliceIntermediate()),
                rotaryTable);
    }
}
