package castalia.protocol.run;

import castalia.protocol.checkpoint.ChunkEntry;
import castalia.protocol.control.Committed;
import castalia.protocol.control.GenerationPlan.Start;
import castalia.protocol.control.HolderReport;
import castalia.protocol.control.WorkerMessage;
import castalia.protocol.identity.Fence;
import castalia.protocol.identity.Incarnation;
import castalia.protocol.layout.SliceBlock;
import castalia.protocol.step.ScalarState;
import castalia.protocol.step.StateDigest;
import castalia.protocol.step.Verdict;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.TreeMap;
import java.util.stream.Stream;

/** What a simulated worker holds: of each chunk its version and whether its gradient is there. */
final class SimulatedState {

    private final SimulatedRun run;
    final Map<Integer, Long> versions = new TreeMap<>();
    final Set<Integer> gradients = new HashSet<>();
    Optional<ScalarState> scalars = Optional.empty();
    private Optional<Committed> committed = Optional.empty();
    private long weights = -1;
    private boolean fetches;
    private SliceBlock slices = SliceBlock.NONE;

    SimulatedState(SimulatedRun run) {
        this.run = run;
    }

    static StateDigest digest(int chunk, long version) {
        return new StateDigest(chunk * 1_000_003L + version, version * 31 + chunk);
    }

    /** What is said of a stored state, in two parts. */
    static List<WorkerMessage.Stored> stored(Fence fence, ScalarState of) {
        List<ChunkEntry> entries = SimulatedRun.GRID.chunks().stream()
                .map(chunk -> new ChunkEntry(chunk, String.format("%064x", of.step()), 100,
                        digest(chunk.index(), of.step())))
                .toList();
        int half = entries.size() / 2;
        return Stream.of(entries.subList(0, half), entries.subList(half, entries.size()))
                .map(part -> new WorkerMessage.Stored(fence, of, part, entries.size()))
                .toList();
    }

    long version() {
        return scalars.map(ScalarState::step).orElse(-1L);
    }

    HolderReport report(Fence fence, Incarnation self) {
        List<HolderReport.Held> chunks = versions.entrySet().stream()
                .map(e -> new HolderReport.Held(e.getKey(), e.getValue(),
                        gradients.contains(e.getKey()), digest(e.getKey(), e.getValue())))
                .toList();
        return new HolderReport(fence, self, scalars, chunks, weights, slices, committed);
    }

    /** Finishes the update that a generation begins with. */
    void rollForward(Start start) {
        if (start instanceof Start.Memory(_, Optional<Committed> update, _)) {
            update.ifPresent(u -> versions.replaceAll((c, v) ->
                    v == u.step() && gradients.contains(c) ? v + 1 : v));
        }
    }

    /** Takes the place a generation gives it, when every chunk is here. */
    void install(Start start, Place place, boolean gather, String name) {
        Set<Integer> held = place.held();
        versions.keySet().retainAll(held);
        switch (start) {
            case Start.Initial() -> load(held, 0);
            case Start.Checkpoint(long step) -> {
                run.require(run.published.contains(step), "checkpoint of step " + step);
                load(held, step);
            }
            case Start.Memory(ScalarState target, _, _) -> {
                for (int c : held) {
                    run.require(versions.getOrDefault(c, -1L) == target.step(), name
                            + " lacks chunk " + c + " of version " + target.step());
                }
                scalars = Optional.of(target);
            }
        }
        gradients.clear();
        fetches = place.fetches();
        if (gather || fetches) {
            gathered();
        }
        if (place.slices().count() > 0 && !gather && !fetches) {
            run.require(weights == version() && slices.equals(place.slices()),
                    name + " has weights of version " + weights + " of " + slices);
        }
        slices = place.slices();
    }

    /** What a member of a generation holds and computes. */
    record Place(Set<Integer> held, SliceBlock slices, boolean fetches) {}

    private void load(Set<Integer> held, long version) {
        versions.clear();
        held.forEach(c -> versions.put(c, version));
        follow(version);
        committed = Optional.empty();
    }

    void follow(long version) {
        scalars = Optional.of(new ScalarState(version, version, 1, 0, -1, 1));
    }

    /** Applies the committed update of the version it is at. */
    Committed update(int[] held) {
        long step = version();
        Committed update = new Committed(
                step, new Verdict.Apply(1, 1, new StateDigest(step, step), 1));
        committed = Optional.of(update);
        for (int c : held) {
            run.require(versions.get(c) == step && gradients.remove(c), "update of chunk " + c);
            versions.put(c, step + 1);
        }
        scalars = scalars.map(ScalarState::applied);
        weights = -1;
        return update;
    }

    /** The compute weights of its version are complete, unless it fetches them when it needs them. */
    void gathered() {
        weights = fetches ? -1 : version();
    }
}
