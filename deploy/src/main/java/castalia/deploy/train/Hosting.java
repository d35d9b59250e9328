package castalia.deploy.train;

import castalia.deploy.shell.CastaliaHome;
import castalia.protocol.CastaliaException;
import castalia.protocol.ErrorCode;
import castalia.protocol.planner.Recomputation;

/**
 * Where and how a run executes. Nothing of it changes a bit of the result.
 *
 * @param ranks ranks of this process
 * @param threads computing threads of all ranks together
 * @param recomputation what backward passes compute again
 * @param portable whether matrix products are computed in Java, whose bits any machine gives; unlike the
 *     others this is part of the numeric version
 * @param memoryBytes most memory of all ranks of this machine together; {@link Long#MAX_VALUE} for what
 *     there is
 */
public record Hosting(
        int ranks, int threads, Recomputation recomputation, boolean portable, long memoryBytes) {

    /** More threads than any machine has. */
    private static final int MOST_THREADS = 1024;

    /** System property: true where a machine rehearses what another will do, and in tests. */
    private static final String ANY_THREADS = "castalia.threads.any";

    public Hosting {
        if (ranks < 1) {
            throw new IllegalArgumentException("ranks " + ranks + " must be at least 1");
        }
        if (threads < 1 || threads > MOST_THREADS) {
            throw new IllegalArgumentException(
                    "threads " + threads + " must lie between 1 and " + MOST_THREADS);
        }
    }

    /** With the products of the library, where it can be had. */
    public Hosting(int ranks, int threads, Recomputation recomputation) {
        this(ranks, threads, recomputation, false, Long.MAX_VALUE);
    }

    /** The same with another number of ranks. */
    public Hosting on(int others) {
        return new Hosting(others, threads, recomputation, portable, memoryBytes);
    }

    /** The same computing other things again. */
    public Hosting computingAgain(Recomputation other) {
        return new Hosting(ranks, threads, other, portable, memoryBytes);
    }

    /**
     * The same, of threads that this machine can run at once.
     *
     * @throws CastaliaException if it has fewer processors for this process
     */
    public Hosting onThisMachine() {
        int processors = Runtime.getRuntime().availableProcessors();
        if (threads > processors && !DeviceChoice.ofProcess().cuda()
                && !Boolean.getBoolean(ANY_THREADS)) {
            throw new CastaliaException(ErrorCode.CONFIG_INVALID, "threads " + threads
                    + ": this process may use " + processors + (processors == 1
                    ? " processor" : " processors") + " of this machine, and more threads would wait "
                    + "for each other; give at most " + processors + " (--threads, or castalia: "
                    + "threads), or -D" + ANY_THREADS + "=true in CASTALIA_JAVA_OPTS");
        }
        return this;
    }

    /**
     * Memory that all ranks of this machine may use together, in equal parts: its own, or that of its
     * GPUs where those compute.
     */
    public long usableBytes() {
        DeviceChoice choice = DeviceChoice.ofProcess();
        return Math.min(memoryBytes, choice.cuda()
                ? choice.usableBytes(ranks, CastaliaHome.ofProcess()) : MachineMemory.usableBytes());
    }

    /**
     * Memory of those ranks of this machine that compute, where others wait beside them: a GPU's is
     * divided among all of its processes at their start.
     */
    public long usableBytes(int computing, int waiting) {
        int all = computing + waiting;
        return DeviceChoice.ofProcess().cuda() && all > 0
                ? on(all).usableBytes() / all * computing : usableBytes();
    }

    /** Threads of one rank: an equal share, at least one. */
    public int threadsPerRank() {
        return Math.max(1, threads / ranks);
    }
}
