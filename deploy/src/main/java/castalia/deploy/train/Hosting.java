package castalia.deploy.train;

import castalia.protocol.planner.Recomputation;

/**
 * Where and how a run executes. Nothing of it changes a bit of the result.
 *
 * @param ranks ranks of this process
 * @param threads computing threads of all ranks together
 * @param recomputation what backward passes compute again
 */
public record Hosting(int ranks, int threads, Recomputation recomputation) {

    /** More threads than any machine has. */
    private static final int MOST_THREADS = 1024;

    public Hosting {
        if (ranks < 1) {
            throw new IllegalArgumentException("ranks " + ranks + " must be at least 1");
        }
        if (threads < 1 || threads > MOST_THREADS) {
            throw new IllegalArgumentException(
                    "threads " + threads + " must lie between 1 and " + MOST_THREADS);
        }
    }

    /** The same with another number of ranks. */
    public Hosting on(int others) {
        return new Hosting(others, threads, recomputation);
    }

    /** Threads of one rank: an equal share, at least one. */
    public int threadsPerRank() {
        return Math.max(1, threads / ranks);
    }
}
