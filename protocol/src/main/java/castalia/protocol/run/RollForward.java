package castalia.protocol.run;

import castalia.protocol.control.Committed;
import castalia.protocol.control.HolderReport;
import castalia.protocol.control.HolderReport.Held;
import castalia.protocol.identity.Incarnation;
import castalia.protocol.step.ScalarState;
import castalia.protocol.step.StateDigest;
import java.util.ArrayList;
import java.util.Collection;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.TreeSet;

/**
 * Where everybody continues from, derived from what the survivors hold.
 *
 * <p>A rank applies the update of step s only when all votes of s exist, and a vote says that its
 * rank holds version s and the finished gradient of s. So if anybody is at s+1, every holder that
 * was a member is at s+1 or can get there by itself: the newest version is always reachable for
 * every chunk that still has a holder.
 */
public sealed interface RollForward {

    /** Nobody holds anything. */
    record Nothing() implements RollForward {}

    /** Some chunks are gone, or their copies disagree; only a checkpoint has the whole state. */
    record Lost(List<Integer> chunks) implements RollForward {
        public Lost {
            chunks = List.copyOf(chunks);
        }
    }

    /**
     * The whole state is in memory.
     *
     * @param scalars scalar state of the version all go on from
     * @param update what holders one version behind apply first
     * @param holders per chunk who has it at that version, or will have by the update
     */
    record Memory(
            ScalarState scalars, Optional<Committed> update, List<List<Incarnation>> holders)
            implements RollForward {
        public Memory {
            holders = List.copyOf(holders);
        }
    }

    /** Derives it. */
    static RollForward of(Collection<HolderReport> reports, int chunks) {
        Optional<ScalarState> newest = reports.stream()
                .filter(report -> !report.chunks().isEmpty())
                .flatMap(report -> report.scalars().stream())
                .max((a, b) -> Long.compare(a.step(), b.step()));
        if (newest.isEmpty()) {
            return new Nothing();
        }
        long version = newest.get().step();
        Optional<Committed> update = reports.stream()
                .flatMap(report -> report.committed().stream())
                .filter(committed -> committed.step() == version - 1)
                .findFirst();
        List<List<Incarnation>> holders = new ArrayList<>();
        for (int c = 0; c < chunks; c++) {
            holders.add(new ArrayList<>());
        }
        TreeSet<Integer> lost = new TreeSet<>();
        Map<Integer, StateDigest> digests = new HashMap<>();
        for (HolderReport report : reports) {
            for (Held held : report.chunks()) {
                if (held.chunk() >= chunks) {
                    throw new IllegalArgumentException(
                            "chunk " + held.chunk() + " of " + chunks);
                }
                boolean there = held.version() == version;
                boolean reachable = held.version() == version - 1 && held.gradient()
                        && update.isPresent();
                if (there && !held.digest().equals(
                        digests.computeIfAbsent(held.chunk(), _ -> held.digest()))) {
                    lost.add(held.chunk());
                }
                if (there || reachable) {
                    holders.get(held.chunk()).add(report.worker());
                }
            }
        }
        for (int c = 0; c < chunks; c++) {
            if (holders.get(c).isEmpty()) {
                lost.add(c);
            }
        }
        return lost.isEmpty()
                ? new Memory(newest.get(), update, holders.stream().map(List::copyOf).toList())
                : new Lost(List.copyOf(lost));
    }
}
