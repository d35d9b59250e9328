package castalia.protocol.layout;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.Comparator;
import java.util.List;
import java.util.Optional;

/**
 * How the state comes to where a placement wants it: ranges of chunks from who holds them to who will,
 * and what only a checkpoint has.
 *
 * @param moves what is sent, ascending by first chunk
 * @param missing chunks that nobody holds: to be read from files by all their holders
 */
public record ReshardPlan(List<Move> moves, List<Integer> missing) {

    /** How far ahead of others, in elements, a sender may get for the sake of longer ranges. */
    private static final long RUN = 8L * ChunkGrid.LIMIT;

    /**
     * Neighbouring chunks from one rank to another.
     *
     * @param first first chunk
     * @param count how many
     * @param from rank that holds them
     * @param to rank that will
     */
    public record Move(int first, int count, int from, int to) {
        public Move {
            if (first < 0 || count < 1 || first > Integer.MAX_VALUE - count || from < 0 || to < 0
                    || from == to) {
                throw new IllegalArgumentException("a move of " + count + " chunks from chunk "
                        + first + " from rank " + from + " to rank " + to);
            }
        }

        /** One past the last chunk. */
        public int end() {
            return first + count;
        }
    }

    public ReshardPlan {
        moves = List.copyOf(moves);
        missing = List.copyOf(missing);
    }

    /**
     * Nothing moves that is there already. Of a chunk's holders one on the receiver's node sends, if
     * there is one, and of those the one that sends least so far.
     *
     * @param target where chunks are to be
     * @param holders per chunk the ranks, numbered as in {@code target}, that hold it
     * @param nodes name of each rank's node
     */
    public static ReshardPlan of(
            ChunkGrid grid, Placement target, List<List<Integer>> holders, List<String> nodes) {
        long[] sent = new long[target.ranks()];
        List<Move> moves = new ArrayList<>();
        List<Integer> missing = new ArrayList<>();
        int[] open = new int[target.ranks()];
        Arrays.fill(open, -1);
        for (Chunk chunk : grid.chunks()) {
            int c = chunk.index();
            List<Integer> from = holders.get(c);
            if (from.isEmpty()) {
                missing.add(c);
                continue;
            }
            for (int to : target.holders(c)) {
                if (from.contains(to)) {
                    continue;
                }
                Optional<Move> last = open[to] < 0 ? Optional.empty()
                        : Optional.of(moves.get(open[to])).filter(move -> move.end() == c
                                && from.contains(move.from())
                                && sent[move.from()] <= least(from, sent) + RUN);
                int sender = last.map(Move::from).orElseGet(() -> from.stream()
                        .min(Comparator.comparing((Integer r) -> !nodes.get(r).equals(nodes.get(to)))
                                .thenComparingLong(r -> sent[r])
                                .thenComparingInt(r -> r))
                        .orElseThrow());
                sent[sender] += chunk.length();
                if (last.isPresent()) {
                    Move longer = new Move(
                            last.get().first(), last.get().count() + 1, sender, to);
                    moves.set(open[to], longer);
                } else {
                    open[to] = moves.size();
                    moves.add(new Move(c, 1, sender, to));
                }
            }
        }
        moves.sort(Comparator.comparingInt(Move::first)
                .thenComparingInt(Move::to));
        return new ReshardPlan(moves, missing);
    }

    private static long least(List<Integer> ranks, long[] sent) {
        return ranks.stream().mapToLong(r -> sent[r]).min().orElse(0);
    }

    /** Bytes sent between ranks: weights and both moments, in fp32. */
    public long bytes(ChunkGrid grid) {
        return 3L * Float.BYTES * elements(grid);
    }

    /** Elements sent between ranks: weights, and as many of each moment. */
    public long elements(ChunkGrid grid) {
        return moves.stream().mapToLong(move -> grid.chunks()
                .subList(move.first(), move.end()).stream().mapToLong(Chunk::length).sum()).sum();
    }
}
