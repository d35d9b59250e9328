package castalia.protocol.layout;

import castalia.protocol.control.HolderReport;
import castalia.protocol.identity.Fence;
import castalia.protocol.identity.Incarnation;
import castalia.protocol.step.ScalarState;
import castalia.protocol.step.StateDigest;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.TreeMap;
import java.util.stream.IntStream;

/** A made-up state: weights, both moments and scalars; no two elements are alike. */
final class SyntheticState {

    private static final int TENSORS = 3;

    final ChunkGrid grid;
    final ScalarState scalars = new ScalarState(41, 37, 0x1p13, 41, 35, 2);
    private final float[][] flat;

    SyntheticState(ChunkGrid grid) {
        this.grid = grid;
        int elements = Math.toIntExact(grid.layout().elements());
        this.flat = new float[TENSORS][elements];
        for (int tensor = 0; tensor < TENSORS; tensor++) {
            for (int i = 0; i < elements; i++) {
                flat[tensor][i] = Float.intBitsToFloat(0x3F000000 + TENSORS * i + tensor);
            }
        }
    }

    /** What a rank holds. */
    static final class Rank {
        final Map<Integer, float[][]> chunks = new TreeMap<>();
        Optional<ScalarState> scalars = Optional.empty();

        /** The same, to be changed. */
        Rank copy() {
            Rank copy = new Rank();
            copy.chunks.putAll(chunks);
            copy.scalars = scalars;
            return copy;
        }
    }

    /** A chunk's weights, first and second moments, in memory of their own. */
    float[][] copy(int index) {
        Chunk chunk = grid.chunk(index);
        return Arrays.stream(flat)
                .map(of -> Arrays.copyOfRange(
                        of, (int) chunk.offset(), (int) chunk.offset() + chunk.length()))
                .toArray(float[][]::new);
    }

    /** Whether a chunk is as it was. */
    boolean is(int index, float[][] found) {
        Chunk chunk = grid.chunk(index);
        boolean same = found != null;
        for (int tensor = 0; same && tensor < TENSORS; tensor++) {
            same = Arrays.equals(flat[tensor], (int) chunk.offset(), (int) chunk.end(),
                    found[tensor], 0, chunk.length());
        }
        return same;
    }

    /** The ranks of a placement, each with what it gives them. */
    List<Rank> on(Placement placement) {
        return IntStream.range(0, placement.ranks()).mapToObj(r -> {
            Rank rank = new Rank();
            for (int c : placement.held(r)) {
                rank.chunks.put(c, copy(c));
                rank.scalars = Optional.of(scalars);
            }
            return rank;
        }).toList();
    }

    /** What a rank answers when it is asked what it holds; its life is its number. */
    HolderReport report(int number, Rank rank) {
        return new HolderReport(new Fence(1, 2), new Incarnation(number), rank.scalars,
                rank.chunks.keySet().stream().map(c -> new HolderReport.Held(
                        c, scalars.step(), false, new StateDigest(c, c))).toList(),
                -1, SliceBlock.NONE, Optional.empty());
    }
}
