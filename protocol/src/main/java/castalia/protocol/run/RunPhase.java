package castalia.protocol.run;

import castalia.protocol.control.HolderReport;
import castalia.protocol.identity.Incarnation;
import java.util.List;
import java.util.Map;
import java.util.Set;

/** Where a run is between two events. */
public sealed interface RunPhase {

    /** Too few workers to begin. */
    record Forming() implements RunPhase {}

    /** Everybody was asked what they hold. */
    record Gathering(String cause, Set<Incarnation> waiting, List<HolderReport> reports)
            implements RunPhase {
        public Gathering {
            waiting = Set.copyOf(waiting);
            reports = List.copyOf(reports);
        }
    }

    /** The state is not whole in memory: the newest checkpoint is looked for. */
    record Finding(String cause, List<HolderReport> reports) implements RunPhase {
        public Finding {
            reports = List.copyOf(reports);
        }
    }

    /** Members take their places. */
    record Resharding(Set<Incarnation> waiting) implements RunPhase {
        public Resharding {
            waiting = Set.copyOf(waiting);
        }
    }

    /**
     * Members step by themselves.
     *
     * @param finished members that are done with the last step
     */
    record Running(Set<Incarnation> finished) implements RunPhase {
        public Running {
            finished = Set.copyOf(finished);
        }
    }

    /**
     * Members go to a boundary and stop there.
     *
     * @param step the boundary
     * @param stopping whether the run ends there; else the membership changes
     */
    record Draining(long step, boolean stopping, String cause, Set<Incarnation> waiting)
            implements RunPhase {
        public Draining {
            waiting = Set.copyOf(waiting);
        }
    }

    /** Nothing happens any more. */
    record Ended(RunResult result) implements RunPhase {}

    /** What learns, while members step: chunks by learner. Not a phase of its own. */
    record Learning(Map<Incarnation, List<Integer>> chunks, Set<Incarnation> waiting) {

        /** Nobody learns. */
        public static final Learning NONE = new Learning(Map.of(), Set.of());

        public Learning {
            chunks = Map.copyOf(chunks);
            waiting = Set.copyOf(waiting);
        }

        public boolean isEmpty() {
            return chunks.isEmpty();
        }
    }
}
