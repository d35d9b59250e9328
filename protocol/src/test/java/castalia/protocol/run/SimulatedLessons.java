package castalia.protocol.run;

import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.OptionalLong;
import java.util.Set;

/** What a simulated worker is to learn, and what came before it was told. */
final class SimulatedLessons {

    private final SimulatedRun run;
    private final Map<Integer, Long> versions;
    private final List<SimulatedFrame> before = new ArrayList<>();
    private Set<Integer> chunks = Set.of();
    private boolean told;

    /** The versions belong to the worker. */
    SimulatedLessons(SimulatedRun run, Map<Integer, Long> versions) {
        this.run = run;
        this.versions = versions;
    }

    /** Begins; returns what came before. */
    List<SimulatedFrame> begin(List<Integer> wanted) {
        chunks = new HashSet<>(wanted);
        told = false;
        List<SimulatedFrame> early = List.copyOf(before);
        before.clear();
        return early;
    }

    void end() {
        chunks = Set.of();
        before.clear();
    }

    boolean active() {
        return !chunks.isEmpty();
    }

    void keep(SimulatedFrame frame) {
        before.add(frame);
    }

    /** Takes in a base copy or an update; the version it led to, if its chunk is wanted. */
    OptionalLong learn(SimulatedFrame frame) {
        return switch (frame) {
            case SimulatedFrame.State(int chunk, long version) -> {
                if (!chunks.contains(chunk)) {
                    yield OptionalLong.empty();
                }
                versions.put(chunk, version);
                yield OptionalLong.of(version);
            }
            case SimulatedFrame.Update(int chunk, var update) -> {
                if (!chunks.contains(chunk)) {
                    yield OptionalLong.empty();
                }
                run.require(versions.getOrDefault(chunk, -1L) == update.step(),
                        "a learner's update of chunk " + chunk);
                versions.put(chunk, update.step() + 1);
                yield OptionalLong.of(update.step() + 1);
            }
            case SimulatedFrame.Partial _, SimulatedFrame.Gradient _, SimulatedFrame.Vote _,
                    SimulatedFrame.Weights _, SimulatedFrame.Stored _,
                    SimulatedFrame.Moved _, SimulatedFrame.Unpublished _ ->
                    throw new IllegalStateException("not learnt");
        };
    }

    /** Whether everything is there, once. */
    boolean caughtUp() {
        boolean first = !told && reached(-1);
        told |= first;
        return first;
    }

    /** Whether all chunks to learn are there, at {@code step} or later. */
    boolean reached(long step) {
        return chunks.stream().allMatch(c -> versions.getOrDefault(c, -2L) >= step
                && versions.containsKey(c));
    }
}
