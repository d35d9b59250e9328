package castalia.workers.rank;

import castalia.protocol.layout.ParallelLayout;
import castalia.testing.Degrees;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.HashSet;
import java.util.List;
import java.util.Set;
import java.util.function.ToIntFunction;

/**
 * Layouts one after another, such that every pair of settings occurs: of two settings of one layout,
 * and of one of a layout with one of its successor. Chosen greedily, always alike.
 */
final class LayoutChain {

    private static final List<ToIntFunction<ParallelLayout>> SETTINGS = List.of(
            ParallelLayout::dataParallel, ParallelLayout::tensorParallel, ParallelLayout::zero,
            ParallelLayout::buddies);

    /** A setting's value, of a layout or of its successor. */
    private record Value(boolean after, int setting, int value) {}

    private record Pair(Value one, Value other) {}

    private LayoutChain() {}

    /** All layouts of {@link Degrees} with some ZeRO stages and 0 to 2 buddies, small ones first. */
    static List<ParallelLayout> candidates(List<Integer> stages) {
        List<ParallelLayout> all = new ArrayList<>();
        for (int d : Degrees.DATA) {
            for (int t : Degrees.TENSOR) {
                for (int zero : stages) {
                    for (int buddies = 0; buddies <= ParallelLayout.MOST_BUDDIES; buddies++) {
                        all.add(new ParallelLayout(d, t, zero, buddies));
                    }
                }
            }
        }
        all.sort(Comparator.comparingInt(ParallelLayout::ranks));
        return all;
    }

    /** A chain that covers every pair. */
    static List<ParallelLayout> of(List<Integer> stages) {
        List<ParallelLayout> candidates = candidates(stages);
        Set<Pair> missing = required(stages);
        List<ParallelLayout> chain = new ArrayList<>(List.of(new ParallelLayout(1, 1, 1, 0)));
        while (!missing.isEmpty()) {
            ParallelLayout last = chain.getLast();
            ParallelLayout next = best(candidates, missing, last);
            if (pairs(last, next).stream().noneMatch(missing::contains)) {
                // nothing new follows from here: go where something does
                next = candidates.stream()
                        .filter(from -> pairs(from, best(candidates, missing, from)).stream()
                                .anyMatch(missing::contains))
                        .findFirst().orElseThrow();
            }
            missing.removeAll(pairs(last, next));
            chain.add(next);
        }
        return chain;
    }

    private static ParallelLayout best(
            List<ParallelLayout> candidates, Set<Pair> missing, ParallelLayout last) {
        return candidates.stream()
                .max(Comparator.comparingLong((ParallelLayout to) ->
                                pairs(last, to).stream().filter(missing::contains).count())
                        .thenComparing(to -> -to.ranks()))
                .orElseThrow();
    }

    /** The pairs that a change covers. */
    static Set<Pair> pairs(ParallelLayout from, ParallelLayout to) {
        List<Value> values = new ArrayList<>();
        for (boolean after : new boolean[] {false, true}) {
            for (int s = 0; s < SETTINGS.size(); s++) {
                values.add(new Value(after, s, SETTINGS.get(s).applyAsInt(after ? to : from)));
            }
        }
        Set<Pair> pairs = new HashSet<>();
        for (int i = 0; i < values.size(); i++) {
            for (int j = i + 1; j < values.size(); j++) {
                pairs.add(new Pair(values.get(i), values.get(j)));
            }
        }
        return pairs;
    }

    /** All pairs, whatever a chain is made of. */
    static Set<Pair> required(List<Integer> stages) {
        List<List<Integer>> values = List.of(Degrees.DATA, Degrees.TENSOR, stages, List.of(0, 1, 2));
        List<Value> all = new ArrayList<>();
        for (boolean after : new boolean[] {false, true}) {
            for (int s = 0; s < values.size(); s++) {
                for (int value : values.get(s)) {
                    all.add(new Value(after, s, value));
                }
            }
        }
        Set<Pair> pairs = new HashSet<>();
        for (int i = 0; i < all.size(); i++) {
            for (int j = i + 1; j < all.size(); j++) {
                Value one = all.get(i);
                Value other = all.get(j);
                if (one.after() != other.after() || one.setting() != other.setting()) {
                    pairs.add(new Pair(one, other));
                }
            }
        }
        return pairs;
    }
}
