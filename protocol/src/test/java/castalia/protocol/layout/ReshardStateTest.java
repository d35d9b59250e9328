package castalia.protocol.layout;

import static org.assertj.core.api.Assertions.assertThat;

import castalia.protocol.control.HolderReport;
import castalia.protocol.layout.SyntheticState.Rank;
import castalia.protocol.model.Gelu;
import castalia.protocol.model.ModelShape;
import castalia.protocol.run.RollForward;
import castalia.testing.Degrees;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.List;
import java.util.Optional;
import java.util.stream.IntStream;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;

/**
 * Weights, both moments and scalars of a model with eight heads, from every layout to every other, as
 * a coordinator does it: ask all ranks, decide where to go on from, plan, and move ranges of chunks.
 */
class ReshardStateTest {

    private static final int V = 8;
    private static final ChunkGrid GRID = ChunkGrid.of(FlatLayout.of(
            new ModelShape(1, 16, 8, 32, 64, 8, 2, 10000, 1e-5, true, Gelu.ERF, 1), 8));
    private static final SyntheticState STATE = new SyntheticState(GRID);

    static List<ParallelLayout> layouts() {
        List<ParallelLayout> all = new ArrayList<>();
        for (int d : Degrees.DATA) {
            for (int t : Degrees.TENSOR) {
                for (int zero : Degrees.ZERO) {
                    all.add(new ParallelLayout(d, t, zero, 1));
                }
            }
        }
        return all;
    }

    @Test
    @Tag("default")
    void everyLayoutBecomesEveryOtherWithEveryElement() {
        List<ParallelLayout> layouts = layouts();
        assertThat(layouts).hasSize(96);
        int moved = 0;
        for (ParallelLayout from : layouts) {
            List<Rank> saved = STATE.on(Placement.of(GRID, V, from));
            RollForward.Memory memory = memory(saved);
            for (ParallelLayout to : layouts) {
                Placement target = Placement.of(
                        GRID, V, to, Math.max(from.ranks(), to.ranks()));
                List<Rank> ranks = new ArrayList<>(saved.stream().map(Rank::copy).toList());
                moved += change(ranks, memory, target);
                requireAll(from + " to " + to, target, ranks);
            }
        }
        assertThat(moved).isGreaterThan(layouts.size() * layouts.size());
    }

    /** What all ranks say they hold amounts to. */
    private static RollForward.Memory memory(List<Rank> ranks) {
        List<HolderReport> reports = IntStream.range(0, ranks.size())
                .mapToObj(r -> STATE.report(r, ranks.get(r))).toList();
        return (RollForward.Memory) RollForward.of(reports, GRID.size());
    }

    /** Returns the number of moves. */
    private static int change(List<Rank> ranks, RollForward.Memory memory, Placement target) {
        while (ranks.size() < target.ranks()) {
            ranks.add(new Rank());
        }
        ReshardPlan plan = ReshardPlan.of(GRID, target,
                memory.holders().stream()
                        .map(of -> of.stream().map(life -> (int) life.id()).toList()).toList(),
                Collections.nCopies(target.ranks(), "node"));
        assertThat(plan.missing()).isEmpty();
        for (ReshardPlan.Move move : plan.moves()) {
            for (int c = move.first(); c < move.end(); c++) {
                float[][] sent = ranks.get(move.from()).chunks.get(c);
                float[][] copy = Arrays.stream(sent).map(float[]::clone).toArray(float[][]::new);
                if (ranks.get(move.to()).chunks.put(c, copy) != null) {
                    throw new AssertionError(move + ": it is there already");
                }
            }
        }
        ranks.forEach(rank -> rank.scalars = Optional.of(memory.scalars()));
        return plan.moves().size();
    }

    private static void requireAll(String what, Placement target, List<Rank> ranks) {
        for (int r = 0; r < target.ranks(); r++) {
            Rank rank = ranks.get(r);
            rank.chunks.keySet().retainAll(IntStream.of(target.held(r)).boxed().toList());
            for (int c : target.held(r)) {
                if (!STATE.is(c, rank.chunks.get(c))) {
                    throw new AssertionError(what + ": chunk " + c + " of rank " + r);
                }
            }
            assertThat(rank.scalars).as(what).contains(STATE.scalars);
        }
    }

    @Test
    void aRangeThatIsNotMovedIsNoticed() {
        Placement before = Placement.of(GRID, V, new ParallelLayout(2, 2, 2, 1));
        Placement after = Placement.of(GRID, V, new ParallelLayout(1, 4, 1, 0));
        List<Rank> ranks = new ArrayList<>(STATE.on(before));
        assertThat(change(ranks, memory(ranks), after)).isPositive();
        int chunk = after.owned(3)[0];
        ranks.get(3).chunks.get(chunk)[2][0]++;
        assertThat(STATE.is(chunk, ranks.get(3).chunks.get(chunk))).isFalse();
        ranks.get(3).chunks.remove(chunk);
        assertThat(STATE.is(chunk, ranks.get(3).chunks.get(chunk))).isFalse();
    }
}
