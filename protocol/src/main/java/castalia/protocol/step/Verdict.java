package castalia.protocol.step;

import castalia.protocol.step.Vote.HeldChunk;
import castalia.protocol.step.Vote.LossSum;
import java.util.Comparator;
import java.util.List;

/** What all votes of a step amount to. Every rank derives the same verdict from the same votes. */
public sealed interface Verdict {

    /** A verdict that can be committed: the next version follows from it. */
    sealed interface Outcome extends Verdict {

        /** Mean loss over the tokens of the global batch. */
        double loss();

        /** Digest of the state before the step. */
        StateDigest state();
    }

    /**
     * The update is applied.
     *
     * @param norm global gradient norm before clipping, of the mean loss
     * @param loss mean loss over the tokens of the global batch
     * @param state digest of the state before the update
     * @param gradientFactor what each gradient element is multiplied with, fp32: the mean over
     *     micro-batches, the loss scale and the clip rule in one factor
     */
    record Apply(double norm, double loss, StateDigest state, float gradientFactor)
            implements Outcome {}

    /** A gradient is not finite: tensors stay as they are. */
    record Skip(double loss, StateDigest state) implements Outcome {}

    /**
     * Owner and buddy disagree about a chunk: silent corruption.
     *
     * @param chunk the chunk
     * @param what which of the two facts differs
     * @param ranks owner and buddy
     */
    record Corrupt(int chunk, String what, List<Integer> ranks) implements Verdict {
        public Corrupt {
            ranks = List.copyOf(ranks);
        }
    }

    /**
     * Derives the verdict.
     *
     * @param votes one per rank, any order
     * @param chunks number of chunks of the grid
     * @param virtualRanks V
     * @param tokens tokens of the global batch
     * @param gradientMean what the summed gradient is multiplied with to be that of the mean loss,
     *     {@code 1 / (lossScale * micro-batches)}
     * @param clip largest norm, 0 for no clipping
     * @throws IllegalArgumentException if the votes are of different steps, two are of one rank,
     *     one names a chunk or a virtual rank that does not exist, or all leave one out
     */
    static Verdict of(
            List<Vote> votes,
            int chunks,
            int virtualRanks,
            long tokens,
            double gradientMean,
            double clip) {
        HeldChunk[] held = new HeldChunk[chunks];
        int[] holder = new int[chunks];
        double[] losses = new double[virtualRanks];
        boolean[] counted = new boolean[virtualRanks];
        List<Vote> byRank = sorted(votes, chunks, virtualRanks);
        for (Vote vote : byRank) {
            for (HeldChunk chunk : vote.chunks()) {
                HeldChunk other = held[chunk.chunk()];
                if (other == null) {
                    held[chunk.chunk()] = chunk;
                    holder[chunk.chunk()] = vote.rank();
                } else if (!other.state().equals(chunk.state())) {
                    return new Corrupt(
                            chunk.chunk(), "state", List.of(holder[chunk.chunk()], vote.rank()));
                } else if (Double.compare(other.squares(), chunk.squares()) != 0) {
                    return new Corrupt(
                            chunk.chunk(), "gradient", List.of(holder[chunk.chunk()], vote.rank()));
                }
            }
            for (LossSum loss : vote.losses()) {
                losses[loss.virtualRank()] = loss.sum();
                counted[loss.virtualRank()] = true;
            }
        }
        requireComplete(held, counted);
        StateDigest state = StateDigest.ZERO;
        double squares = 0;
        for (HeldChunk chunk : held) {
            state = state.plus(chunk.state());
            squares += chunk.squares();
        }
        double loss = ReductionTree.sum(losses) / tokens;
        double norm = Math.sqrt(squares) * gradientMean;
        if (!Double.isFinite(norm)) {
            return new Skip(loss, state);
        }
        double excess = clip > 0 ? (norm + 1e-6) / clip : 0;
        double factor = excess > 1 ? gradientMean / excess : gradientMean;
        return new Apply(norm, loss, state, (float) factor);
    }

    private static List<Vote> sorted(List<Vote> votes, int chunks, int virtualRanks) {
        List<Vote> byRank =
                votes.stream().sorted(Comparator.comparingInt(Vote::rank)).toList();
        for (int i = 0; i < byRank.size(); i++) {
            Vote vote = byRank.get(i);
            if (vote.step() != byRank.getFirst().step()) {
                throw new IllegalArgumentException(
                        "votes of steps " + byRank.getFirst().step() + " and " + vote.step());
            }
            if (i > 0 && byRank.get(i - 1).rank() == vote.rank()) {
                throw new IllegalArgumentException("two votes of rank " + vote.rank());
            }
            vote.chunks().forEach(held -> requireBelow("chunk", held.chunk(), chunks, vote));
            vote.losses().forEach(loss ->
                    requireBelow("virtual rank", loss.virtualRank(), virtualRanks, vote));
        }
        return byRank;
    }

    private static void requireBelow(String what, int index, int count, Vote vote) {
        if (index >= count) {
            throw new IllegalArgumentException("rank " + vote.rank() + " votes on " + what + " "
                    + index + "; there are " + count);
        }
    }

    private static void requireComplete(HeldChunk[] held, boolean[] counted) {
        for (int c = 0; c < held.length; c++) {
            if (held[c] == null) {
                throw new IllegalArgumentException("no vote names chunk " + c);
            }
        }
        for (int v = 0; v < counted.length; v++) {
            if (!counted[v]) {
                throw new IllegalArgumentException("no vote has the loss of virtual rank " + v
                        + " of " + counted.length);
            }
        }
    }
}
