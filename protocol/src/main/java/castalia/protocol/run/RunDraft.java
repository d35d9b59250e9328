package castalia.protocol.run;

import castalia.protocol.checkpoint.ChunkEntry;
import castalia.protocol.control.CoordinatorMessage;
import castalia.protocol.control.GenerationPlan;
import castalia.protocol.identity.Fence;
import castalia.protocol.identity.Incarnation;
import castalia.protocol.identity.Member;
import castalia.protocol.step.ScalarState;
import java.time.Duration;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Optional;
import java.util.Set;
import java.util.SortedMap;
import java.util.TreeMap;

/** A state being changed by one event, and the effects so far. Never leaves {@link RunMachine}. */
final class RunDraft {

    /** Most workers told to go that are remembered. */
    private static final int MOST_DISMISSED = 10_000;

    final long term;
    final Map<Incarnation, Member> workers;
    final Set<Incarnation> dismissed;
    final List<RunEffect> effects = new ArrayList<>();
    RunPhase phase;
    Fence fence;
    int target;
    Optional<GenerationPlan> plan;
    RunPhase.Learning learning;
    long version;
    long stepNanos;
    long saved;
    String savedHash;
    Optional<RunState.Storing> storing;
    String digest;
    boolean stopRequested;

    RunDraft(RunState state) {
        this.term = state.term();
        this.workers = new LinkedHashMap<>(state.workers());
        this.dismissed = new LinkedHashSet<>(state.dismissed());
        this.phase = state.phase();
        this.fence = state.fence();
        this.target = state.target();
        this.plan = state.plan();
        this.learning = state.learning();
        this.version = state.version();
        this.stepNanos = state.stepNanos();
        this.saved = state.saved();
        this.savedHash = state.savedHash();
        this.storing = state.storing();
        this.digest = state.digest();
        this.stopRequested = state.stopRequested();
    }

    RunState state() {
        return new RunState(phase, term, fence, target, workers, dismissed, plan, learning, version,
                stepNanos, saved, savedHash, storing, digest, stopRequested);
    }

    void send(Incarnation to, CoordinatorMessage message) {
        effects.add(new RunEffect.Send(to, message));
    }

    void announce(RunNews news) {
        effects.add(new RunEffect.Announce(news));
    }

    void startTimer(RunTimer timer, Duration after) {
        effects.add(new RunEffect.StartTimer(timer, fence, after));
    }

    void cancelTimer(RunTimer timer) {
        effects.add(new RunEffect.CancelTimer(timer));
    }

    boolean member(Incarnation worker) {
        return plan.filter(p -> p.rankOf(worker) >= 0).isPresent();
    }

    /** A worker that is known to be there. */
    Member worker(Incarnation worker) {
        return Objects.requireNonNull(workers.get(worker), worker::toString);
    }

    /** The members of the newest generation that are not gone. */
    List<Member> liveMembers() {
        return plan.map(GenerationPlan::members).orElse(List.of()).stream()
                .filter(member -> workers.containsKey(member.incarnation()))
                .toList();
    }

    /** Says goodbye to a worker, which ends its process. */
    void dismiss(Incarnation worker, String why) {
        workers.remove(worker);
        if (dismissed.size() >= MOST_DISMISSED) {
            dismissed.remove(dismissed.iterator().next());
        }
        dismissed.add(worker);
        send(worker, new CoordinatorMessage.Dismiss(fence, why));
    }

    void end(RunResult result) {
        if (!(result instanceof RunResult.Deposed)) {
            for (Incarnation worker : List.copyOf(workers.keySet())) {
                send(worker, new CoordinatorMessage.Dismiss(fence, "the run is over"));
            }
        }
        for (RunTimer timer : RunTimer.values()) {
            cancelTimer(timer);
        }
        phase = new RunPhase.Ended(result);
        effects.add(new RunEffect.End(result));
    }

    /** Adds entries of a step that was stored; when all are there they are to be published. */
    void stored(ScalarState scalars, List<ChunkEntry> part, int total) {
        if (scalars.step() <= saved) {
            return;
        }
        RunState.Storing before = storing
                .filter(s -> s.scalars().equals(scalars))
                .orElse(new RunState.Storing(scalars, new TreeMap<>(), total, false));
        if (before.publishing()) {
            return;
        }
        SortedMap<Integer, ChunkEntry> entries = new TreeMap<>(before.entries());
        part.forEach(entry -> entries.put(entry.chunk().index(), entry));
        boolean complete = entries.size() == total;
        storing = Optional.of(new RunState.Storing(scalars, entries, total, complete));
        if (complete) {
            effects.add(new RunEffect.Publish(scalars, List.copyOf(entries.values()), saved));
        }
    }
}
