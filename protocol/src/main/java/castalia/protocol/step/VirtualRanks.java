package castalia.protocol.step;

import java.util.ArrayList;
import java.util.List;

/** How the V fixed parts of the global batch are spread over replicas: in blocks or in turn. */
public final class VirtualRanks {

    private VirtualRanks() {}

    /**
     * The virtual ranks that one replica computes.
     *
     * @param first first virtual rank
     * @param count how many; 0 for a rank that computes none
     * @param stride from one to the next; 1 if they are contiguous
     */
    public record Block(int first, int count, int stride) {
        public Block {
            if (first < 0 || count < 0 || stride < 1) {
                throw new IllegalArgumentException("block of " + count + " from " + first
                        + (stride == 1 ? "" : " by " + stride));
            }
        }

        /** A contiguous block. */
        public Block(int first, int count) {
            this(first, count, 1);
        }

        /** The i-th virtual rank. */
        public int at(int i) {
            return first + i * stride;
        }

        /** One past the last virtual rank. */
        public int end() {
            return count == 0 ? first : at(count - 1) + 1;
        }

        @Override
        public String toString() {
            return "Block[first=" + first + ", count=" + count
                    + (stride == 1 ? "" : ", stride=" + stride) + "]";
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

    /**
     * V virtual ranks dealt to W ranks in turn: in every round W successive ones are computed.
     *
     * @throws IllegalArgumentException if W is less than 1 or more than V
     */
    public static List<Block> inTurn(int virtualRanks, int ranks) {
        List<Block> blocks = new ArrayList<>(ranks);
        for (Block even : blocks(virtualRanks, ranks)) {
            int first = blocks.size();
            blocks.add(even.count() == virtualRanks
                    ? even : new Block(first, (virtualRanks - first + ranks - 1) / ranks, ranks));
        }
        return List.copyOf(blocks);
    }
}
