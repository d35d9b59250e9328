package castalia.protocol.layout;

import java.util.Arrays;
import java.util.Comparator;
import java.util.List;
import java.util.Optional;
import java.util.stream.IntStream;

/** Places chunks where their state already is, so that nothing moves before training goes on. */
public final class PlacementPlanner {

    private PlacementPlanner() {}

    /**
     * A placement whose owners and buddies hold their chunks already. Of a chunk's holders the one
     * that owns least so far becomes owner; of the others one on another node, if there is one, and
     * then the one that holds least, becomes buddy.
     *
     * @param holders per chunk the ranks that hold it, at least one
     * @param nodes name of each rank's node
     */
    public static Placement of(
            ChunkGrid grid, int virtualRanks, List<List<Integer>> holders, List<String> nodes) {
        long[] owned = new long[nodes.size()];
        long[] held = new long[nodes.size()];
        int[] owners = new int[grid.size()];
        int[] buddies = new int[grid.size()];
        for (Chunk chunk : grid.chunks()) {
            int c = chunk.index();
            List<Integer> ranks = holders.get(c);
            int owner = ranks.stream()
                    .min(Comparator.comparingLong((Integer r) -> owned[r]).thenComparingInt(r -> r))
                    .orElseThrow(() -> new IllegalArgumentException("nobody holds chunk " + c));
            Optional<Integer> buddy = ranks.stream()
                    .filter(r -> r != owner)
                    .min(Comparator.comparing((Integer r) -> nodes.get(r).equals(nodes.get(owner)))
                            .thenComparingLong(r -> held[r])
                            .thenComparingInt(r -> r));
            owners[c] = owner;
            buddies[c] = buddy.orElse(Placement.NONE);
            owned[owner] += chunk.length();
            held[owner] += chunk.length();
            buddy.ifPresent(r -> held[r] += chunk.length());
        }
        return Placement.of(virtualRanks, nodes.size(), owners, buddies);
    }

    /**
     * Who learns each chunk that has no buddy: the rank, not its owner, that holds least; on another
     * node if there is one.
     *
     * @return per chunk the rank, or {@link Placement#NONE} where nothing is to be done
     */
    public static int[] secondCopies(ChunkGrid grid, Placement placement, List<String> nodes) {
        int[] learners = new int[grid.size()];
        Arrays.fill(learners, Placement.NONE);
        if (placement.ranks() < 2) {
            return learners;
        }
        long[] held = new long[placement.ranks()];
        for (Chunk chunk : grid.chunks()) {
            held[placement.owner(chunk.index())] += chunk.length();
            if (placement.buddy(chunk.index()) != Placement.NONE) {
                held[placement.buddy(chunk.index())] += chunk.length();
            }
        }
        for (int c : placement.alone()) {
            int owner = placement.owner(c);
            int learner = IntStream.range(0, placement.ranks()).boxed()
                    .filter(r -> r != owner)
                    .min(Comparator.comparing((Integer r) -> nodes.get(r).equals(nodes.get(owner)))
                            .thenComparingLong(r -> held[r])
                            .thenComparingInt(r -> r))
                    .orElseThrow();
            learners[c] = learner;
            held[learner] += grid.chunk(c).length();
        }
        return learners;
    }

    /**
     * The chunks a newcomer learns: those without a buddy, or else a fair share, taken in turn from
     * whoever owns most.
     */
    public static List<Integer> share(ChunkGrid grid, Placement placement) {
        int[] alone = placement.alone();
        if (alone.length > 0) {
            return Arrays.stream(alone).boxed().toList();
        }
        long[] owned = new long[placement.ranks()];
        for (Chunk chunk : grid.chunks()) {
            owned[placement.owner(chunk.index())] += chunk.length();
        }
        long fair = Arrays.stream(owned).sum() / (placement.ranks() + 1);
        boolean[] taken = new boolean[grid.size()];
        long share = 0;
        while (share < fair) {
            int richest = IntStream.range(0, owned.length).boxed()
                    .max(Comparator.comparingLong((Integer r) -> owned[r])
                            .thenComparingInt(r -> -r))
                    .orElseThrow();
            Optional<Chunk> next = grid.chunks().stream()
                    .filter(k -> !taken[k.index()] && placement.owner(k.index()) == richest)
                    .findFirst();
            if (next.isEmpty()) {
                break;
            }
            taken[next.get().index()] = true;
            owned[richest] -= next.get().length();
            share += next.get().length();
        }
        return IntStream.range(0, taken.length).filter(c -> taken[c]).boxed().toList();
    }
}
