package castalia.protocol.run;

import castalia.protocol.layout.ChunkGrid;
import castalia.protocol.layout.LayoutWish;
import java.time.Duration;

/**
 * What a run's coordinator decides by; it never changes a bit of the result.
 *
 * @param run hash of the specification
 * @param numericVersion numeric version of the specification
 * @param build fingerprint of the program
 * @param grid the chunk grid
 * @param virtualRanks V, the most replicas there can be
 * @param target ranks wanted at first
 * @param wish layout wanted at first
 * @param steps steps of the run
 * @param patience how long each thing is waited for
 */
public record RunSettings(
        String run,
        String numericVersion,
        String build,
        ChunkGrid grid,
        int virtualRanks,
        int target,
        LayoutWish wish,
        long steps,
        Patience patience) {

    /** The same with another layout wanted at first; one that does not fit the run is passed over. */
    public RunSettings with(LayoutWish other) {
        return !other.fits(virtualRanks, grid.layout().tensorSlices()) ? this
                : new RunSettings(run, numericVersion, build, grid, virtualRanks, target, other, steps,
                patience);
    }

    /**
     * Deadlines.
     *
     * @param forming for the first workers to arrive; then those there begin
     * @param gathering least time for answers to a query
     * @param installing for members to load state and connect
     * @param pausing least time to reach a boundary
     * @param learning for a learner to catch up
     */
    public record Patience(
            Duration forming,
            Duration gathering,
            Duration installing,
            Duration pausing,
            Duration learning) {

        /** What suits processes on real machines. */
        public static final Patience USUAL = new Patience(Duration.ofSeconds(90),
                Duration.ofSeconds(2), Duration.ofMinutes(10), Duration.ofSeconds(10),
                Duration.ofMinutes(10));
    }
}
