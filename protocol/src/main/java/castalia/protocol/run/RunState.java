package castalia.protocol.run;

import castalia.protocol.checkpoint.ChunkEntry;
import castalia.protocol.control.GenerationPlan;
import castalia.protocol.identity.Fence;
import castalia.protocol.identity.Incarnation;
import castalia.protocol.identity.Member;
import castalia.protocol.layout.LayoutWish;
import castalia.protocol.step.ScalarState;
import java.util.Collections;
import java.util.HashSet;
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
 * @param wish layout wanted
 * @param reshape whether the next generation places every chunk anew, as the wish has it
 * @param workers who offered themselves and is not gone, in order of arrival
 * @param dismissed who was told to go
 * @param plan the newest generation whose members took, or take, their places
 * @param learning what is learnt now
 * @param version completed steps, as far as told
 * @param stepNanos longest recent step, 0 before the first
 * @param published steps whose checkpoints this coordinator knows to exist, with their state hash
 * @param storing what was stored of steps that are not published yet
 * @param publishing the step storage was asked to publish, -1 for none; one at a time, in order
 * @param failed where workers failed since a step was last completed
 * @param patient whether this coordinator still hopes for workers that have not come yet
 * @param digest digest of the finished run's state, empty before
 * @param stopRequested whether to stop as soon as possible
 */
public record RunState(
        RunPhase phase,
        long term,
        Fence fence,
        int target,
        LayoutWish wish,
        boolean reshape,
        Map<Incarnation, Member> workers,
        Set<Incarnation> dismissed,
        Optional<GenerationPlan> plan,
        RunPhase.Learning learning,
        long version,
        long stepNanos,
        SortedMap<Long, String> published,
        SortedMap<Long, Storing> storing,
        long publishing,
        Failed failed,
        boolean patient,
        String digest,
        boolean stopRequested) {

    /**
     * Failures of single workers without a step that was completed in between. A place counts once,
     * however often a worker is started there.
     *
     * @param places labels of the workers
     * @param version completed steps at the last failure, as far as told then or before
     */
    public record Failed(Set<String> places, long version) {

        /** None. */
        public static final Failed NONE = new Failed(Set.of(), -1);

        public Failed {
            places = Set.copyOf(places);
        }

        Failed and(String place, long completed) {
            Set<String> all = new HashSet<>(places);
            all.add(place);
            return new Failed(all, Math.max(version, completed));
        }

        /** What is left of them when so many steps are completed. */
        Failed after(long completed) {
            return completed > version ? NONE : this;
        }
    }

    /**
     * Entries of one step.
     *
     * @param entries by chunk index
     * @param total how many there will be
     */
    public record Storing(
            ScalarState scalars, SortedMap<Integer, ChunkEntry> entries, int total) {
        public Storing {
            entries = Collections.unmodifiableSortedMap(new TreeMap<>(entries));
        }

        /** Whether every entry is there. */
        public boolean complete() {
            return entries.size() == total;
        }
    }

    public RunState {
        workers = Collections.unmodifiableMap(new LinkedHashMap<>(workers));
        dismissed = Set.copyOf(dismissed);
        published = Collections.unmodifiableSortedMap(new TreeMap<>(published));
        storing = Collections.unmodifiableSortedMap(new TreeMap<>(storing));
    }

    /** Newest checkpoint known, -1 for none. */
    public long saved() {
        return published.isEmpty() ? -1 : published.lastKey();
    }

    /** Whether a worker is a member of the newest generation. */
    public boolean member(Incarnation worker) {
        return plan.filter(p -> p.rankOf(worker) >= 0).isPresent();
    }
}
