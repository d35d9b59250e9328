package castalia.protocol.run;

import castalia.protocol.checkpoint.ChunkEntry;
import castalia.protocol.control.CoordinatorMessage;
import castalia.protocol.control.GenerationPlan;
import castalia.protocol.identity.Fence;
import castalia.protocol.identity.Incarnation;
import castalia.protocol.identity.Member;
import castalia.protocol.layout.LayoutWish;
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
    LayoutWish wish;
    boolean reshape;
    Optional<GenerationPlan> plan;
    RunPhase.Learning learning;
    long version;
    long stepNanos;
    final SortedMap<Long, String> published;
    final SortedMap<Long, RunState.Storing> storing;
    long publishing;
    RunState.Failed failed;
    boolean patient;
    String digest;
    boolean stopRequested;

    RunDraft(RunState state) {
        this.term = state.term();
        this.workers = new LinkedHashMap<>(state.workers());
        this.dismissed = new LinkedHashSet<>(state.dismissed());
        this.phase = state.phase();
        this.fence = state.fence();
        this.target = state.target();
        this.wish = state.wish();
        this.reshape = state.reshape();
        this.plan = state.plan();
        this.learning = state.learning();
        this.version = state.version();
        this.stepNanos = state.stepNanos();
        this.published = new TreeMap<>(state.published());
        this.storing = new TreeMap<>(state.storing());
        this.publishing = state.publishing();
        this.failed = state.failed();
        this.patient = state.patient();
        this.digest = state.digest();
        this.stopRequested = state.stopRequested();
    }

    RunState state() {
        return new RunState(phase, term, fence, target, wish, reshape, workers, dismissed, plan,
                learning, version, stepNanos, published, storing, publishing, failed, patient,
                digest, stopRequested);
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
                send(worker, new CoordinatorMessage.Dismiss(fence, CoordinatorMessage.Dismiss.OVER));
            }
        }
        for (RunTimer timer : RunTimer.values()) {
            cancelTimer(timer);
        }
        phase = new RunPhase.Ended(result);
        effects.add(new RunEffect.End(result));
    }

    /** Newest checkpoint known, -1 for none. */
    long saved() {
        return published.isEmpty() ? -1 : published.lastKey();
    }

    /** Adds entries of a step that was stored. */
    void stored(ScalarState scalars, List<ChunkEntry> part, int total) {
        long step = scalars.step();
        if (step == publishing) {
            return;
        }
        if (published.containsKey(step)) {
            boolean lastPart = !part.isEmpty() && part.getLast().chunk().index() + 1 == total;
            if (lastPart) {
                saySaved(step); // whoever says this did not hear of it
            }
            return;
        }
        SortedMap<Integer, ChunkEntry> entries = new TreeMap<>(
                storing.containsKey(step) ? storing.get(step).entries() : Map.of());
        part.forEach(entry -> entries.put(entry.chunk().index(), entry));
        storing.put(step, new RunState.Storing(scalars, entries, total));
        publish();
    }

    /** Hands the oldest complete step to storage, if none is there. */
    void publish() {
        Optional<RunState.Storing> next = publishing >= 0 ? Optional.empty()
                : storing.values().stream().filter(RunState.Storing::complete).findFirst();
        if (next.isPresent()) {
            RunState.Storing ready = next.get();
            publishing = ready.scalars().step();
            SortedMap<Long, String> before = published.headMap(publishing);
            effects.add(new RunEffect.Publish(ready.scalars(),
                    List.copyOf(ready.entries().values()), before.isEmpty() ? -1 : before.lastKey()));
        }
    }

    private void saySaved(long step) {
        workers.keySet().forEach(
                worker -> send(worker, new CoordinatorMessage.Saved(fence, step)));
    }

    /** A step's checkpoint exists. */
    void published(long step, String stateHash) {
        published.put(step, stateHash);
        storing.remove(step);
        publishing = publishing == step ? -1 : publishing;
        saySaved(step);
        announce(new RunNews.Saved(step, stateHash));
        publish();
    }
}
