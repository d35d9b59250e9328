package castalia.deploy.train;

import castalia.checkpoints.LayoutLog;
import castalia.deploy.configuration.PlacementHints;
import castalia.protocol.CastaliaException;
import castalia.protocol.ErrorCode;
import castalia.protocol.layout.LayoutRequest;
import castalia.protocol.layout.LayoutWish;
import castalia.protocol.layout.ParallelLayout;
import castalia.protocol.specification.RunSpecification;
import java.io.IOException;
import java.util.Optional;
import java.util.OptionalInt;

/**
 * The layout a run starts with. What the command line names counts first, then what was asked for
 * last in the run's folder, then the file's {@code castalia:} block, then GPT-NeoX's own keys, which
 * are hints: those that do not fit are passed over.
 *
 * @param wish the layout wanted
 * @param on whose word, for people
 */
public record LayoutChoice(LayoutWish wish, String on) {

    /**
     * Chooses.
     *
     * @param commandLine what the command line names
     * @param recorded what was asked for last in the run's folder
     * @param workers ranks or worker processes, as far as known
     * @throws CastaliaException if what was named does not fit the run
     */
    public static LayoutChoice of(
            LayoutRequest commandLine, Optional<LayoutWish> recorded, PlacementHints file,
            RunSpecification run, OptionalInt workers) {
        LayoutChoice before = recorded.map(wish -> new LayoutChoice(wish, "asked for before"))
                .orElseGet(() -> of(file, run, workers));
        return commandLine.isEmpty() ? before
                : new LayoutChoice(over(commandLine, before.wish, run), "the command line");
    }

    private static LayoutChoice of(
            PlacementHints file, RunSpecification run, OptionalInt workers) {
        LayoutRequest hints = file.hints();
        int t = hints.tensorParallel().orElse(1);
        int most = Math.min(run.tensorSlices(), Integer.lowestOneBit(workers.orElse(1)));
        LayoutWish hinted = new LayoutWish(0, Integer.bitCount(t) == 1 ? Math.min(t, most) : 1,
                hints.zero().orElse(LayoutWish.USUAL.zero()), LayoutWish.USUAL.buddies());
        return new LayoutChoice(over(file.layout(), hinted, run),
                file.layout().isEmpty() && hinted.equals(LayoutWish.USUAL) ? "usual" : "the file");
    }

    /** Records the wish as the one asked for last; the usual one only where it was named. */
    public void record(LayoutLog log, LayoutRequest commandLine) throws IOException {
        if (!commandLine.isEmpty() || !wish.equals(LayoutWish.USUAL)) {
            log.ask(wish);
        }
    }

    /**
     * The layout of ranks in one process.
     *
     * @param ranks how many the command line names
     * @throws CastaliaException if there are too many, or not as many as it names by degrees
     */
    ParallelLayout onRanks(TrainingJob job, LayoutRequest commandLine, OptionalInt ranks) {
        PlacementHints file = job.configuration().placement();
        boolean named = commandLine.dataParallel().orElse(0) > 0;
        boolean inFile = file.ranks().isEmpty() && file.layout().dataParallel().orElse(0) > 0;
        int n = ranks.isEmpty() && wish.ranks() > 0 && (named || inFile)
                ? wish.ranks() : job.hosting().ranks();
        if (ranks.isPresent() && named && n != wish.ranks()) {
            throw new CastaliaException(ErrorCode.CONFIG_INVALID, "--ranks " + n + " and " + wish.words()
                    + " exclude each other: leave --ranks out, or use --ranks " + wish.ranks());
        }
        int virtualRanks = job.specification().virtualRanks();
        int most = virtualRanks * wish.tensorParallel();
        if (n > most) {
            throw new CastaliaException(ErrorCode.CONFIG_INVALID, "cannot place " + virtualRanks
                    + " virtual ranks on " + n + " ranks: use 1 to " + most);
        }
        requireWhole("--ranks", n, ranks.isPresent() ? commandLine : LayoutRequest.NOTHING);
        return wish.fit(n, virtualRanks);
    }

    /**
     * What a request makes of a wish.
     *
     * @throws CastaliaException if it does not fit the run, saying what would
     */
    public static LayoutWish over(LayoutRequest request, LayoutWish before, RunSpecification run) {
        try {
            return request.over(before, run.virtualRanks(), run.tensorSlices());
        } catch (IllegalArgumentException e) {
            throw CastaliaException.of(ErrorCode.CONFIG_INVALID, e);
        }
    }

    /**
     * Checks a number of worker processes.
     *
     * @throws CastaliaException if there are more than the layout can use, they make no whole replicas
     *     where their size was named and not their number, or nothing says how many are wanted
     */
    public void requireWorkers(
            OptionalInt workers, LayoutRequest commandLine, RunSpecification run) {
        if (workers.isEmpty() && wish.ranks() == 0) {
            throw new CastaliaException(ErrorCode.CONFIG_INVALID, "--local without a number of worker"
                    + " processes needs a data parallel degree: use --local N, or --dp");
        }
        int n = workers.orElse(wish.ranks());
        int most = run.virtualRanks() * wish.tensorParallel();
        if (n > most) {
            throw new CastaliaException(ErrorCode.CONFIG_INVALID, "--local " + n + " must lie between 1"
                    + " and " + most + ": " + run.virtualRanks() + " virtual ranks on "
                    + wish.tensorParallel() + " ranks each");
        }
        requireWhole("--local", n, commandLine);
    }

    private static void requireWhole(String option, int n, LayoutRequest commandLine) {
        int t = commandLine.tensorParallel().orElse(1);
        if (commandLine.dataParallel().isEmpty() && n % t != 0) {
            int below = n - n % t;
            throw new CastaliaException(ErrorCode.CONFIG_INVALID, option + " " + n
                    + " is no multiple of --tp " + t + ": use "
                    + (below > 0 ? below + " or " : "") + (below + t) + ", or say how many replicas"
                    + " with --dp");
        }
    }
}
