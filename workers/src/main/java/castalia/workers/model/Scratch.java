package castalia.workers.model;

import castalia.kernels.Arena;
import castalia.kernels.Buffer;
import castalia.kernels.DType;

/**
 * Working memory that blocks share, since only one block computes at a time: what their backward passes
 * compute again, and gradients inside a block. A gradient lies where the value was that nobody needs any
 * more when it is written; but what is given to other ranks lies where nothing else does.
 *
 * @param ln1 output of the first layer norm (R, C)
 * @param ln2 output of the second layer norm (R, C)
 * @param gelu per slice, output of GELU (R, F/T)
 * @param partial F32 partial outputs per slice (R, C), in forward passes
 * @param dNormed gradient of the final norm's output (R, C); in {@code partial}, if ranks share no slices
 * @param dInput1 partial input gradients of QKV per slice (R, C); where ranks share the slices, the
 *     head's too
 * @param dInput2 partial input gradients of the up-projection per slice (R, C)
 * @param dLn1 gradient at the QKV input (R, C); {@code ln1} itself, if ranks share no slices
 * @param dLn2 gradient at the up-projection input (R, C); {@code ln2} itself, if ranks share no slices
 * @param dUp per slice, gradient of the feed-forward width (R, F/T): {@code gelu} itself
 * @param dQkv gradient of a slice's QKV (R, 3C/T), after all of {@code dUp} and in its memory
 * @param dAttention gradient of a slice's attention output (R, C/T), likewise
 * @param received what other ranks give, also in {@code partial} and {@code dInput1}
 * @param rotaryTable cosines and sines per position (S, rotary)
 */
@SuppressWarnings("ArrayRecordComponent") // one buffer per slice; never compared
record Scratch(
        Buffer ln1,
        Buffer ln2,
        Buffer[] gelu,
        Partials partial,
        Buffer dNormed,
        Partials dInput1,
        Partials dInput2,
        RowBlocks dLn1,
        RowBlocks dLn2,
        Buffer[] dUp,
        Buffer dQkv,
        Buffer dAttention,
        Buffer received,
        Buffer rotaryTable) {

    static Scratch allocate(
            ModelPlan plan, SliceJoin join, Arena arena, Buffer rotaryTable, boolean backward) {
        DType type = plan.compute();
        long rows = plan.rows();
        long full = rows * plan.hidden();
        Buffer received = join.received();
        Partials partial = join.partials(received);
        Buffer ln1 = arena.allocate(type, full);
        Buffer ln2 = arena.allocate(type, full);
        long wide = rows * plan.sliceIntermediate();
        if (!backward) {
            Buffer none = arena.allocate(type, 0);
            RowBlocks noRows = RowBlocks.of(none, 0, 0, join.ranks(), join.position());
            return new Scratch(ln1, ln2, join.perSlice(_ -> arena.allocate(type, wide)), partial, none,
                    partial, partial, noRows, noRows, new Buffer[0], none, none, received, rotaryTable);
        }
        long narrow = rows * plan.sliceHidden();
        Buffer[] inside = join.perSlice(
                i -> arena.allocate(type, i == 0 ? Math.max(wide, 4 * narrow) : wide));
        Buffer[] gelu = join.perSlice(i -> inside[i].slice(0, wide));
        RowBlocks dLn1 = join.blocks(join.alone() ? ln1 : arena.allocate(type, full));
        RowBlocks dLn2 = join.blocks(join.alone() ? ln2 : arena.allocate(type, full));
        boolean direct = plan.slices() == 1;
        return new Scratch(
                ln1,
                ln2,
                gelu,
                partial,
                join.alone() ? over(partial.slices()[0], type, full) : arena.allocate(type, full),
                direct ? join.partials(new Buffer[] {dLn1.whole()}, received)
                        : join.partials(received),
                direct ? join.partials(new Buffer[] {dLn2.whole()}, received)
                        : join.partials(join.received()),
                dLn1,
                dLn2,
                gelu,
                inside[0].slice(0, 3 * narrow),
                inside[0].slice(3 * narrow, narrow),
                received,
                rotaryTable);
    }

    /** Elements of a type in the memory of others that are no smaller. */
    private static Buffer over(Buffer memory, DType type, long elements) {
        return new Buffer(type, elements, memory.segment().asSlice(0, elements * type.bytes()));
    }
}
