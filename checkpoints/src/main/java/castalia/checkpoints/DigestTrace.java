package castalia.checkpoints;

import castalia.protocol.checkpoint.Manifest;
import java.io.IOException;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.SortedMap;
import java.util.TreeMap;

/** The state hashes of a run's checkpoints: what two runs are compared by. */
public final class DigestTrace {

    private DigestTrace() {}

    /**
     * One checkpoint.
     *
     * @param step completed steps
     * @param stateHash its state hash
     * @param digest its state digest in hexadecimal digits
     */
    public record Line(long step, String stateHash, String digest) {

        static Line of(Manifest manifest) {
            return new Line(manifest.step(), manifest.stateHash(), manifest.digest().hex());
        }
    }

    /**
     * A step two runs disagree about.
     *
     * @param left its state on the left
     * @param right its state on the right
     */
    public record Fork(Line left, Line right) {}

    /** All checkpoints, ascending; only manifests are read. */
    public static List<Line> of(RunFolder folder) throws IOException {
        List<Line> lines = new ArrayList<>();
        for (long step : folder.catalogue().steps()) {
            lines.add(Line.of(folder.catalogue().read(step)));
        }
        return lines;
    }

    /**
     * The first step that both runs have a checkpoint of and whose states differ.
     *
     * @throws CheckpointException if the runs have no checkpoint step in common
     */
    public static Optional<Fork> firstDifference(RunFolder left, RunFolder right)
            throws IOException {
        SortedMap<Long, Line> lines = new TreeMap<>();
        of(left).forEach(line -> lines.put(line.step(), line));
        boolean common = false;
        for (Line line : of(right)) {
            Line other = lines.get(line.step());
            common |= other != null;
            if (other != null && !other.stateHash().equals(line.stateHash())) {
                return Optional.of(new Fork(other, line));
            }
        }
        if (!common) {
            throw new CheckpointException(left.path() + " and " + right.path()
                    + " have no checkpoint of the same step");
        }
        return Optional.empty();
    }
}
