package castalia.protocol.layout;

import java.util.Arrays;
import java.util.Comparator;
import java.util.List;
import java.util.Optional;
import java.util.stream.IntStream;

/** Places chunks where their state already is, so that nothing moves before training goes on. */
public final class PlacementPlanner {

    private PlacementPlanner() {}

    /** As the other, for data parallelism alone. */
    public static Placement of(
            ChunkGrid grid, int virtualRanks, List<List<Integer>> holders, List<String> nodes) {
        return of(grid, virtualRanks, ParallelLayout.of(nodes.size()), holders, nodes);
    }

    /**
     * A placement whose owners and buddies hold their chunks already. Of a chunk's holders the one
     * that owns least so far becomes owner, one that computes with the chunk first; of the others
     * those on other nodes, if there are any, and then those that hold least, become buddies.
     *
     * @param layout its ranks compute; the others only hold chunks
     * @param holders per chunk the ranks that hold it, at least one
     * @param nodes name of each rank's node
     */
    public static Placement of(
            ChunkGrid grid, int virtualRanks, ParallelLayout layout, List<List<Integer>> holders,
            List<String> nodes) {
        Placement users = Placement.of(grid, virtualRanks, layout);
        long[] owned = new long[nodes.size()];
        long[] held = new long[nodes.size()];
        int[] owners = new int[grid.size()];
        int[][] buddies = new int[layout.buddies()][grid.size()];
        for (Chunk chunk : grid.chunks()) {
            int c = chunk.index();
            List<Integer> ranks = holders.get(c);
            int owner = ranks.stream()
                    .min(Comparator.comparing((Integer r) -> !users.uses(r, c))
                            .thenComparingLong(r -> owned[r])
                            .thenComparingInt(r -> r))
                    .orElseThrow(() -> new IllegalArgumentException("nobody holds chunk " + c));
            owners[c] = owner;
            owned[owner] += chunk.length();
            held[owner] += chunk.length();
            List<Integer> others = ranks.stream()
                    .filter(r -> r != owner)
                    .sorted(Comparator.comparing((Integer r) -> nodes.get(r).equals(nodes.get(owner)))
                            .thenComparingLong(r -> held[r])
                            .thenComparingInt(r -> r))
                    .toList();
            for (int k = 0; k < buddies.length; k++) {
                buddies[k][c] = k < others.size() ? others.get(k) : Placement.NONE;
                if (k < others.size()) {
                    held[others.get(k)] += chunk.length();
                }
            }
        }
        return Placement.of(layout, virtualRanks, grid.layout().tensorSlices(), nodes.size(),
                Placement.Holdings.of(grid, owners, buddies));
    }

    /**
     * Who learns each chunk that lacks a holder, or whose holders would all be lost with their node: the
     * rank, none of its holders, that holds least; on another node than its owner if there is one. For
     * the sake of another node no rank comes to hold more than twice a fair share.
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
            for (int rank : placement.holders(chunk.index())) {
                held[rank] += chunk.length();
            }
        }
        long most = 2 * Arrays.stream(held).sum() / placement.ranks();
        for (int c : placement.alone()) {
            learners[c] = learner(placement, c, held, nodes);
            held[learners[c]] += grid.chunk(c).length();
        }
        for (int c : narrow(placement, nodes)) {
            if (learners[c] != Placement.NONE) {
                continue;
            }
            int learner = learner(placement, c, held, nodes);
            if (held[learner] + grid.chunk(c).length() <= most) {
                learners[c] = learner;
                held[learner] += grid.chunk(c).length();
            }
        }
        return learners;
    }

    private static int learner(Placement placement, int chunk, long[] held, List<String> nodes) {
        String home = nodes.get(placement.owner(chunk));
        return IntStream.range(0, placement.ranks()).boxed()
                .filter(r -> !placement.holds(r, chunk))
                .min(Comparator.comparing((Integer r) -> nodes.get(r).equals(home))
                        .thenComparingLong(r -> held[r])
                        .thenComparingInt(r -> r))
                .orElseThrow();
    }

    /** The chunks that several ranks hold, all of them on one node of several. */
    private static int[] narrow(Placement placement, List<String> nodes) {
        if (nodes.stream().distinct().count() < 2) {
            return new int[0];
        }
        return IntStream.range(0, placement.chunks()).filter(c -> {
            int[] holders = placement.holders(c);
            String home = nodes.get(holders[0]);
            return holders.length > 1
                    && Arrays.stream(holders).allMatch(r -> nodes.get(r).equals(home));
        }).toArray();
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
