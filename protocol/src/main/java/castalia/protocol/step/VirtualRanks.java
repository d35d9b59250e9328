package castalia.protocol.step;

import java.util.ArrayList;
import java.util.List;

/** How the V fixed parts of the global batch are spread over ranks: contiguous blocks. */
public final class VirtualRanks {

    private VirtualRanks() {}

    /**
     * A contiguous block of virtual ranks.
     *
     * @param first first virtual rank
     * @param count how many; 0 for a rank that computes none
     */
    public record Block(int first, int count) {
        public Block {
            if (first < 0 || count < 0) {
                throw new IllegalArgumentException("block of " + count + " from " + first);
            }
        }

        /** One past the last virtual rank. */
        public int end() {
            return first + count;
        }
    }

    /**
     * V virtual ranks over W ranks; sizes differ by at most one.
     *
     * @throws IllegalArgumentException if W is less than 1 or more than V
     */
    public static List<Block> blocks(int virtualRanks, int ranks) {
        if (ranks < 1 || ranks > virtualRanks) {
            throw new IllegalArgumentException("cannot place " + virtualRanks
                    + " virtual ranks on " + ranks + " ranks: use 1 to " + virtualRanks);
        }
        List<Block> blocks = new ArrayList<>(ranks);
        for (int r = 0; r < ranks; r++) {
            int first = (int) ((long) r * virtualRanks / ranks);
            int end = (int) ((long) (r + 1) * virtualRanks / ranks);
            blocks.add(new Block(first, end - first));
        }
        return List.copyOf(blocks);
    }
}
