package castalia.kernels;

import castalia.kernels.Trial.Operand;
import java.util.List;
import org.junit.jupiter.api.Test;

/** Rotary positions, to the bit, and causal attention, within bounds carried from its scores. */
interface AttentionContract extends KernelSubject {

    /** Extents of an attention. */
    record Extents(int batch, int sequence, int heads, int dimension) {

        int vectors() {
            return batch * sequence * heads;
        }

        long elements() {
            return (long) vectors() * dimension;
        }
    }

    List<Extents> ATTENTIONS = List.of(
            new Extents(1, 1, 1, 4),
            new Extents(2, 7, 3, 8),
            new Extents(1, 65, 1, 20),
            new Extents(1, 130, 3, 20),
            new Extents(2, 65, 5, 32),
            new Extents(1, 130, 1, 64),
            new Extents(2, 7, 1, 80),
            new Extents(1, 33, 2, 67));

    @Test
    default void rotationsAreExact() {
        for (DType type : computeTypes()) {
            for (Extents size : ATTENTIONS) {
                int dimension = size.dimension();
                for (int rotary : new int[] {0, 2, dimension / 4 / 2 * 2, dimension / 2 * 2}) {
                    rotary(type, size, rotary, false);
                    rotary(type, size, rotary, true);
                }
            }
        }
    }

    private void rotary(DType type, Extents size, int rotary, boolean inverse) {
        int batch = size.batch();
        int sequence = size.sequence();
        int heads = size.heads();
        int dimension = size.dimension();
        long count = 3 * size.elements();
        try (Trial trial = Trial.bitwise(this, "%s, %s, %s, %s", type, size, rotary, inverse)) {
            Operand qkv = trial.inout("qkv", type, Values.normal(1, count, 1));
            Operand table = trial.input("table", DType.F32, Values.rotaryTable(sequence, rotary));
            trial.run((kernels, b) -> kernels.rotary(b.of(qkv), b.of(table), inverse, batch,
                    sequence, heads, dimension, rotary));
            trial.same(qkv);
        }
    }

    @Test
    default void attentionIsRight() {
        for (DType type : computeTypes()) {
            for (Extents size : ATTENTIONS) {
                attention(type, size, 1, false);
            }
        }
    }

    /** Back ends go by blocks of up to 256 queries and keys; the last is left with one, or a few. */
    @Test
    default void attentionOfSeveralBlocksIsRight() {
        for (DType type : computeTypes()) {
            attention(type, new Extents(1, 257, 2, 16), 1, false);
            attention(type, new Extents(1, 385, 1, 32), 1, false);
            attention(type, new Extents(1, 523, 1, 64), 1, true);
        }
    }

    @Test
    default void attentionOfHugeScoresIsRight() {
        for (DType type : computeTypes()) {
            for (Extents size : ATTENTIONS.subList(1, 5)) {
                attention(type, size, 30, false); // scores to some thousands
                attention(type, size, 0, false); // all equal: an average
                attention(type, size, 1, true); // one key that wins by far
            }
        }
    }

    private void attention(DType type, Extents size, double deviation, boolean dominant) {
        int batch = size.batch();
        int sequence = size.sequence();
        int heads = size.heads();
        int dimension = size.dimension();
        try (Trial trial = Trial.inDouble(this, "%s, %s, %s, %s", type, size, deviation,
                dominant)) {
            double[] values = Values.normal(1, 3 * size.elements(), 1);
            for (int i = 0; i < values.length; i++) {
                int part = i / dimension % 3;
                values[i] *= part == 2 ? 1 : deviation;
                if (dominant && part == 0) {
                    values[i] = 40;
                }
                int position = i / (3 * dimension * heads) % sequence;
                if (dominant && part == 1 && position == sequence / 2) {
                    values[i] = 50;
                }
            }
            Operand qkv = trial.input("qkv", type, values);
            Operand out = trial.output("out", type, size.elements());
            Operand lse = trial.output("lse", DType.F32, size.vectors());
            trial.run((kernels, b) -> kernels.attention(b.of(out), b.of(lse), b.of(qkv), batch,
                    sequence, heads, dimension));
            AttentionBounds bounds =
                    new AttentionBounds(type, qkv.before(), batch, sequence, heads, dimension);
            bounds.forward();
            trial.near(lse, bounds.lse);
            trial.near(out, bounds.out);
            attentionBackward(type, size, values, out.actual(), lse.actual());
        }
    }

    private void attentionBackward(DType type, Extents size, double[] qkvValues, double[] outValues,
            double[] lseValues) {
        int batch = size.batch();
        int sequence = size.sequence();
        int heads = size.heads();
        int dimension = size.dimension();
        long count = size.elements();
        try (Trial trial = Trial.inDouble(this, "backward, %s, %s", type, size)) {
            Operand qkv = trial.input("qkv", type, qkvValues);
            Operand out = trial.input("out", type, outValues);
            Operand lse = trial.input("lse", DType.F32, lseValues);
            Operand dOut = trial.input("dOut", type, Values.normal(2, count, 1));
            Operand dQkv = trial.output("dQkv", type, 3 * count);
            trial.run((kernels, b) -> kernels.attentionBackward(b.of(dQkv), b.of(dOut), b.of(out),
                    b.of(lse), b.of(qkv), batch, sequence, heads, dimension));
            AttentionBounds bounds =
                    new AttentionBounds(type, qkv.before(), batch, sequence, heads, dimension);
            trial.near(dQkv, bounds.backward(dOut.before(), out.before(), lse.before()));
        }
    }
}
