package castalia.protocol.run;

import castalia.protocol.ErrorCode;
import castalia.protocol.Samples;
import castalia.protocol.control.WorkerMessage;
import castalia.protocol.identity.Fence;
import castalia.protocol.identity.Incarnation;
import castalia.protocol.identity.Member;
import castalia.protocol.layout.ChunkGrid;
import castalia.protocol.layout.FlatLayout;
import castalia.protocol.layout.LayoutWish;
import castalia.protocol.step.ScalarState;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.EnumMap;
import java.util.HashMap;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.PriorityQueue;
import java.util.Random;
import java.util.Set;
import java.util.TreeSet;
import org.jspecify.annotations.Nullable;

/**
 * A whole run in virtual time, one thread, everything random from one seed: the coordinator's real
 * state machine, simulated workers, a network with delays, processes that die or freeze, and
 * coordinators that die. Times are milliseconds.
 */
final class SimulatedRun {

    static final String RUN = "ab".repeat(32);
    static final ChunkGrid GRID = ChunkGrid.of(FlatLayout.of(Samples.shape(), 2));
    static final int VIRTUAL_RANKS = 4;
    static final long STEPS = 30;
    private static final int SAVE_EVERY = 7;
    private static final long END_OF_TIME = 3_000_000;

    private record Event(long at, long number, Runnable action) {}

    private final Random random;
    private final int target;
    private final PriorityQueue<Event> queue = new PriorityQueue<>(
            Comparator.comparingLong(Event::at).thenComparingLong(Event::number));
    private final Map<Incarnation, SimulatedWorker> workers = new LinkedHashMap<>();
    private final Map<String, Long> lastArrival = new HashMap<>();
    private RunMachine machine;
    private LayoutWish wish = LayoutWish.USUAL;
    private final EnumMap<RunTimer, Long> timers = new EnumMap<>(RunTimer.class);
    private final List<String> log = new ArrayList<>();
    final TreeSet<Long> published = new TreeSet<>();
    private final Set<Long> committedSteps = new HashSet<>();
    private long now;
    private long numbers;
    private long nextWorker = 1;
    private long term;
    private long timerNumbers;
    private @Nullable RunState state;
    private Optional<RunResult> result = Optional.empty();
    private boolean calm;
    int failures;
    long latestCommitted = -1;
    int restartsFromDisk;
    private long failingStep = -1;
    private Optional<LayoutWish> atOnce = Optional.empty();

    SimulatedRun(long seed, int target) {
        this.random = new Random(seed);
        this.target = target;
        this.machine = machine();
    }

    private RunMachine machine() {
        return new RunMachine(new RunSettings(RUN, "nv", "build", GRID, VIRTUAL_RANKS,
                target, wish, STEPS, new RunSettings.Patience(Duration.ofSeconds(5),
                        Duration.ofMillis(200), Duration.ofSeconds(5), Duration.ofSeconds(1),
                        Duration.ofSeconds(5))));
    }

    long random(int from, int to) {
        return from + random.nextInt(to - from);
    }

    boolean due(long step) {
        return step % SAVE_EVERY == 0;
    }

    void require(boolean condition, String what) {
        if (!condition) {
            throw new AssertionError(what + " at " + now + "\n" + String.join("\n", log));
        }
    }

    void committed(long step) {
        committedSteps.add(step);
        latestCommitted = Math.max(latestCommitted, step);
    }

    void later(long delay, @Nullable SimulatedWorker whose, Runnable action) {
        queue.add(new Event(now + delay, numbers++, () -> {
            if (whose != null && whose.frozen) {
                whose.pending.add(action);
            } else if (whose == null || !whose.dead) {
                action.run();
            }
        }));
    }

    /** Delivers in order per pair. */
    private void deliver(String pair, @Nullable SimulatedWorker to, Runnable action) {
        long at = Math.max(now + random(0, 8), lastArrival.getOrDefault(pair, 0L));
        lastArrival.put(pair, at);
        later(at - now, to, action);
    }

    void frame(SimulatedWorker from, Member to, Fence fence, SimulatedFrame frame) {
        SimulatedWorker receiver = workers.get(to.incarnation());
        if (receiver != null && !receiver.dead) {
            deliver(from.member.name() + ">" + to.name(), receiver,
                    () -> receiver.receive(from.member.incarnation(), fence, frame));
        }
    }

    void answerStale(SimulatedWorker from, Incarnation to) {
        SimulatedWorker sender = workers.get(to);
        if (sender != null && !sender.dead) {
            Fence newer = from.seen;
            deliver(from.member.name() + ">" + sender.member.name(), sender,
                    () -> sender.staleSeen(newer));
        }
    }

    void toCoordinator(SimulatedWorker from, WorkerMessage message) {
        long sent = term;
        deliver(from.member.name() + ">c", null, () -> {
            if (sent == term) {
                happened(new RunEvent.FromWorker(message));
            }
        });
    }

    void exits(SimulatedWorker worker, String how) {
        if (worker.dead) {
            return;
        }
        worker.dead = true;
        log.add(now + " " + worker.member.name() + " ends: " + how);
        long sent = term;
        later(random(5, 30), null, () -> {
            if (sent == term) {
                happened(new RunEvent.WorkerGone(worker.member.incarnation(), how));
            }
        });
        for (SimulatedWorker other : workers.values()) {
            later(random(1, 30), other, () -> suspect(other, worker.member, true));
        }
        if (result.isEmpty()) {
            later(random(50, 800), null, this::newWorker);
        }
    }

    boolean failsAt(long step) {
        return step == failingStep;
    }

    /** A worker failed by itself. By chance it happens only where others can go on. */
    void failed(SimulatedWorker worker) {
        long sent = term;
        log.add(now + " " + worker.member.name() + " fails");
        deliver(worker.member.name() + ">c", null, () -> {
            if (sent == term && (failingStep >= 0 || othersGoOn())) {
                happened(new RunEvent.FromWorker(new WorkerMessage.Failed(worker.seen,
                        worker.member.incarnation(), ErrorCode.DEVICE_FAILED, "no device")));
            } else {
                exits(worker, "killed after its failure");
            }
        });
    }

    private boolean othersGoOn() {
        return state != null && state.workers().size() > 1
                && state.failed().places().size() + 1 < Math.max(2, target);
    }

    /** From here on nobody can execute a step. */
    SimulatedRun failingAt(long step) {
        failingStep = step;
        return this;
    }

    private void suspect(SimulatedWorker by, Member about, boolean broken) {
        by.say(new WorkerMessage.Suspects(
                by.seen, by.member.incarnation(), about.incarnation(), broken, "a frame"));
    }

    private void newWorker() {
        long id = nextWorker++;
        SimulatedWorker worker =
                new SimulatedWorker(this, id, "n" + id % (1 + random.nextInt(3)));
        workers.put(worker.member.incarnation(), worker);
        worker.say(worker.registration());
    }

    private void newCoordinator() {
        term++;
        timers.clear();
        log.add(now + " coordinator of term " + term);
        machine = machine();
        RunMachine.Transition begun = machine.begin(term);
        state = begun.state();
        begun.effects().forEach(this::perform);
        for (SimulatedWorker worker : List.copyOf(workers.values())) {
            if (!worker.dead) {
                later(random(1, 100), worker, () -> worker.say(worker.registration()));
            }
        }
    }

    private void happened(RunEvent event) {
        if (state == null) {
            return;
        }
        RunMachine.Transition next = machine.next(state, event);
        state = next.state();
        next.effects().forEach(this::perform);
    }

    private void perform(RunEffect effect) {
        long sent = term;
        switch (effect) {
            case RunEffect.Send(Incarnation to, var message) -> {
                SimulatedWorker worker = workers.get(to);
                if (worker != null && !worker.dead) {
                    deliver("c" + sent + ">" + to, worker, () -> worker.accept(message));
                }
            }
            case RunEffect.FindCheckpoint(Fence fence) -> {
                restartsFromDisk++;
                later(random(1, 30), null, () -> {
                    if (sent == term) {
                        happened(new RunEvent.CheckpointFound(fence, published.isEmpty()
                                ? Optional.empty()
                                : Optional.of(new RunStorage.Newest(
                                        scalars(published.last()), "hash"))));
                    }
                });
            }
            case RunEffect.Publish(ScalarState scalars, var entries, long parent) -> {
                require(entries.size() == GRID.size() && parent < scalars.step(), "a publication");
                entries.forEach(e -> require(e.digest().equals(
                        SimulatedState.digest(e.chunk().index(), scalars.step())), "an entry"));
                later(random(1, 60), null, () -> {
                    published.add(scalars.step());
                    if (sent == term) {
                        happened(new RunEvent.Published(scalars.step(), "hash"));
                    }
                });
            }
            case RunEffect.LogGeneration _ -> { }
            case RunEffect.StartTimer(RunTimer timer, Fence fence, Duration after) -> {
                long number = ++timerNumbers;
                timers.put(timer, number);
                later(after.toMillis(), null, () -> {
                    if (sent == term && timers.getOrDefault(timer, 0L) == number) {
                        timers.remove(timer);
                        happened(new RunEvent.TimerFired(timer, fence));
                    }
                });
            }
            case RunEffect.CancelTimer(RunTimer timer) -> timers.remove(timer);
            case RunEffect.Announce(RunNews news) -> {
                if (!(news instanceof RunNews.Stepped)) {
                    log.add(now + " " + brief(news));
                }
                if (news instanceof RunNews.Running && atOnce.isPresent()) {
                    LayoutWish asked = atOnce.get();
                    atOnce = Optional.empty();
                    later(0, null, () -> wish(asked));
                }
            }
            case RunEffect.End(RunResult end) -> {
                log.add(now + " " + end);
                result = Optional.of(end);
            }
        }
    }

    private static String brief(RunNews news) {
        return news instanceof RunNews.Resharding r ? "Resharding[" + r.plan().fence() + " "
                + r.plan().members().stream().map(Member::name).toList() + " "
                + r.plan().start() + " " + r.plan().placement() + "]" : news.toString();
    }

    private static ScalarState scalars(long step) {
        return new ScalarState(step, step, 1, 0, -1, 1);
    }

    /** A failure at a random moment, again and again until it is calm. */
    private void disturb(int meanMillis, int kinds) {
        later(1 + (long) (-Math.log(1 - random.nextDouble()) * meanMillis), null, () -> {
            if (calm || result.isPresent()) {
                return;
            }
            failures++;
            List<SimulatedWorker> alive =
                    workers.values().stream().filter(w -> !w.dead && !w.frozen).toList();
            int kind = random.nextInt(kinds);
            if (kind == 2) {
                newCoordinator();
            } else if (kind == 3) {
                alive.forEach(w -> exits(w, "power lost"));
            } else if (kind == 5) {
                wish(new LayoutWish(random.nextInt(4), 1 << random.nextInt(2), random.nextInt(4),
                        random.nextInt(3)));
            } else if (!alive.isEmpty()) {
                SimulatedWorker victim = alive.get(random.nextInt(alive.size()));
                if (kind == 0) {
                    exits(victim, "killed");
                } else if (kind == 4) {
                    victim.fail();
                } else {
                    freeze(victim, random(10, 2000));
                }
            }
            disturb(meanMillis, kinds);
        });
    }

    /** Another layout is asked for, and every later coordinator knows. */
    private void wish(LayoutWish other) {
        wish = other;
        log.add(now + " " + other);
        happened(new RunEvent.LayoutRequested(other));
    }

    /** Asks for a layout as soon as members run, before one of them has executed a step. */
    SimulatedRun askingAtOnce(LayoutWish other) {
        atOnce = Optional.of(other);
        return this;
    }

    /** Starts with a layout. */
    SimulatedRun laidOut(LayoutWish first) {
        wish = first;
        return this;
    }

    private void freeze(SimulatedWorker victim, long millis) {
        victim.frozen = true;
        log.add(now + " " + victim.member.name() + " frozen for " + millis);
        later(millis, null, () -> {
            victim.frozen = false;
            while (!victim.pending.isEmpty() && !victim.dead) {
                victim.pending.poll().run();
            }
        });
    }

    /** Whoever waits for long says so. */
    private void patience() {
        for (SimulatedWorker worker : List.copyOf(workers.values())) {
            worker.waitsFor().ifPresent(about -> suspect(worker, about, false));
        }
        later(300, null, this::patience);
    }

    /**
     * Runs to the end.
     *
     * @param meanMillis mean time between failures
     * @param kinds which failures: 1 kills, 2 freezes, 3 coordinators, 4 everybody at once,
     *     5 devices
     * @param calmAfter when failures end
     */
    RunResult run(int meanMillis, int kinds, long calmAfter) {
        for (int i = 0; i < target + 1; i++) {
            later(random(0, 500), null, this::newWorker);
        }
        newCoordinator();
        if (meanMillis > 0) {
            disturb(meanMillis, kinds);
        }
        later(calmAfter, null, () -> calm = true);
        later(300, null, this::patience);
        while (result.isEmpty()) {
            Event event = queue.poll();
            require(event != null && event.at() < END_OF_TIME, "the run does not end");
            now = event.at();
            event.action().run();
        }
        return result.get();
    }

    /** Asks the run to stop at some moment. */
    SimulatedRun stopAfter(long millis) {
        later(millis, null, () -> {
            happened(new RunEvent.StopRequested());
        });
        return this;
    }

    /** Kills one member at some moment. */
    void killOneAfter(long millis) {
        later(millis, null, () -> {
            List<SimulatedWorker> alive = workers.values().stream()
                    .filter(w -> !w.dead && state != null && state.member(w.member.incarnation()))
                    .toList();
            if (!alive.isEmpty()) {
                exits(alive.get(random.nextInt(alive.size())), "killed");
            }
        });
    }

    int committedCount() {
        return committedSteps.size();
    }

    List<String> log() {
        return log;
    }
}
