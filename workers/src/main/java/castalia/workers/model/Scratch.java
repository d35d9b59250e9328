package castalia.workers.model;

import castalia.kernels.Arena;
import castalia.kernels.Buffer;
import castalia.kernels.DType;

/**
 * Working memory that blocks share, since only one block computes at a time.
 *
 * @param partial F32 partial outputs per slice (R, C)
 * @param dInput1 partial input gradients of QKV per slice (R, C); where ranks share the slices, the
 *     head's too
 * @param dInput2 partial input gradients of the up-projection per slice (R, C)
 * @param dLn1 gradient at the QKV input (R, C)
 * @param dLn2 gradient at the up-projection input (R, C)
 * @param dQkv gradient of a slice's QKV (R, 3C/T)
 * @param dAttention gradient of a slice's attention output (R, C/T)
 * @param dUp gradient of a slice's feed-forward width (R, F/T)
 * @param received what other ranks give, also in {@code partial} and {@code dInput1}
 * @param rotaryTable cosines and sines per position (S, rotary)
 */
record Scratch(
        Partials partial,
        Partials dInput1,
        Partials dInput2,
        RowBlocks dLn1,
        RowBlocks dLn2,
        Buffer dQkv,
        Buffer dAttention,
        Buffer dUp,
        Buffer received,
        Buffer rotaryTable) {

    static Scratch allocate(
            ModelPlan plan, SliceJoin join, Arena arena, Buffer rotaryTable, boolean backward) {
        DType type = plan.compute();
        Buffer received = join.received();
        Partials partial = join.partials(received);
        if (!backward) {
            Buffer none = arena.allocate(type, 0);
            RowBlocks noRows = RowBlocks.of(none, 0, 0, join.ranks(), join.position());
            return new Scratch(partial, partial, partial, noRows, noRows, none, none, none,
                    received, rotaryTable);
        }
        long full = (long) plan.rows() * plan.hidden();
        RowBlocks dLn1 = join.blocks(arena.allocate(type, full));
        RowBlocks dLn2 = join.blocks(arena.allocate(type, full));
        boolean direct = plan.slices() == 1;
        return new Scratch(
                partial,
                direct ? join.partials(new Buffer[] {dLn1.whole()}, received)
                        : join.partials(received),
                direct ? join.partials(new Buffer[] {dLn2.whole()}, received)
                        : join.partials(join.received()),
                dLn1,
                dLn2,
                arena.allocate(type, (long) plan.rows() * 3 * plan.sliceHidden()),
                arena.allocate(type, (long) plan.rows() * plan.sliceHidden()),
                arena.allocate(type, (long) plan.rows() * plan.sliceIntermediate()),
                received,
                rotaryTable);
    }
}
