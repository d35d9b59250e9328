package castalia.protocol.run;

import castalia.protocol.identity.Incarnation;
import java.util.BitSet;
import java.util.HashMap;
import java.util.HashSet;
import java.util.Map;
import java.util.Set;

/** What came to a simulated worker in one generation: by kind and step, from whom. */
final class SimulatedArrivals {

    private final Map<Class<?>, Map<Long, Set<Incarnation>>> arrived = new HashMap<>();
    private final Map<Long, BitSet> leaves = new HashMap<>();
    private final Map<Long, Set<Integer>> gradients = new HashMap<>();

    void clear() {
        arrived.clear();
        leaves.clear();
        gradients.clear();
    }

    void heard(Class<?> kind, long step, Incarnation from) {
        arrived.computeIfAbsent(kind, _ -> new HashMap<>())
                .computeIfAbsent(step, _ -> new HashSet<>()).add(from);
    }

    Set<Incarnation> from(Class<?> kind, long step) {
        return arrived.getOrDefault(kind, Map.of()).getOrDefault(step, Set.of());
    }

    /** Whether so many were heard, which are then forgotten. */
    boolean takeAll(Class<?> kind, long step, int count) {
        boolean all = from(kind, step).size() == count;
        if (all) {
            arrived.get(kind).remove(step);
        }
        return all;
    }

    /** Virtual ranks of a partial sum; false if one came before. */
    boolean partial(SimulatedFrame.Partial partial) {
        BitSet set = leaves.computeIfAbsent(partial.step(), _ -> new BitSet());
        boolean fresh = true;
        for (int i = 0; i < partial.block().count(); i++) {
            fresh &= !set.get(partial.block().at(i));
            set.set(partial.block().at(i));
        }
        return fresh;
    }

    /** Whether the sums of all virtual ranks are there, which are then forgotten. */
    boolean takeSums(long step, int virtualRanks) {
        boolean all = leaves.getOrDefault(step, new BitSet()).cardinality() == virtualRanks;
        if (all) {
            leaves.put(step, new BitSet());
        }
        return all;
    }

    void gradient(SimulatedFrame.Gradient gradient) {
        gradients.computeIfAbsent(gradient.step(), _ -> new HashSet<>()).add(gradient.chunk());
    }

    Set<Integer> gradients(long step) {
        return gradients.getOrDefault(step, Set.of());
    }

    void reduced(long step) {
        leaves.remove(step);
        gradients.remove(step);
    }
}
