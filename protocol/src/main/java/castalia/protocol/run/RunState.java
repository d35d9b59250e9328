package castalia.protocol.run;

import castalia.protocol.checkpoint.ChunkEntry;
import castalia.protocol.control.GenerationPlan;
import castalia.protocol.identity.Fence;
import castalia.protocol.identity.Incarnation;
import castalia.protocol.identity.Member;
import castalia.protocol.step.ScalarState;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.SortedMap;
import java.util.TreeMap;

/**
 * All a run's coordinator knows. None of it is durable: a new coordinator learns it anew.
 *
 * @param phase where the run is
 * @param term this coordinator's claim
 * @param fence newest generation begun
 * @param target ranks wanted
 * @param workers who offered themselves and is not gone, in order of arrival
 * @param dismissed who was told to go
 * @param plan the newest generation whose members took, or take, their places
 * @param learning what is learnt now
 * @param version completed steps, as far as told
 * @param stepNanos longest recent step, 0 before the first
 * @param saved newest checkpoint published, -1 for none
 * @param savedHash its state hash, empty for none
 * @param storing what was stored of the step to be published next
 * @param digest digest of the finished run's state, empty before
 * @param stopRequested whether to stop as soon as possible
 */
public record RunState(
        RunPhase phase,
        long term,
        Fence fence,
        int target,
        Map<Incarnation, Member> workers,
        Set<Incarnation> dismissed,
        Optional<GenerationPlan> plan,
        RunPhase.Learning learning,
        long version,
        long stepNanos,
        long saved,
        String savedHash,
        Optional<Storing> storing,
        String digest,
        boolean stopRequested) {

    /**
     * Entries of one step.
     *
     * @param entries by chunk index
     * @param total how many there will be
     * @param publishing whether they were handed to storage
     */
    public record Storing(
            ScalarState scalars,
            SortedMap<Integer, ChunkEntry> entries,
            int total,
            boolean publishing) {
        public Storing {
            entries = Collections.unmodifiableSortedMap(new TreeMap<>(entries));
        }
    }

    public RunState {
        workers = Collections.unmodifiableMap(new LinkedHashMap<>(workers));
        dismissed = Set.copyOf(dismissed);
    }

    /** Whether a worker is a member of the newest generation. */
    public boolean member(Incarnation worker) {
        return plan.filter(p -> p.rankOf(worker) >= 0).isPresent();
    }
}
