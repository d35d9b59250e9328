package castalia.workers.runtime;

import static org.assertj.core.api.Assertions.assertThat;

import castalia.protocol.control.CoordinatorMessage;
import castalia.protocol.control.HolderReport;
import castalia.protocol.control.WorkerMessage;
import castalia.protocol.identity.Fence;
import castalia.protocol.identity.Incarnation;
import castalia.protocol.identity.Member;
import castalia.protocol.layout.LayoutWish;
import castalia.protocol.run.RunEffect;
import castalia.protocol.run.RunEvent;
import castalia.protocol.run.RunMachine;
import castalia.protocol.run.RunNews;
import castalia.protocol.run.RunResult;
import castalia.protocol.run.RunSettings;
import castalia.protocol.run.RunState;
import castalia.protocol.run.RunStorage;
import castalia.protocol.run.RunTimer;
import castalia.protocol.step.ScalarState;
import castalia.protocol.step.StateDigest;
import castalia.workers.exchange.DataPlane;
import castalia.workers.exchange.socket.SocketDataPlane;
import castalia.workers.exchange.socket.SocketSettings;
import java.time.Duration;
import java.util.ArrayList;
import java.util.BitSet;
import java.util.Comparator;
import java.util.EnumMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.PriorityQueue;
import java.util.TreeMap;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.ConcurrentSkipListMap;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;
import java.util.function.BiFunction;
import java.util.function.Consumer;

/**
 * A whole run in this process, in real time: real ranks, and the run's own state machine as their
 * coordinator on the test's thread. The digest of every step that any rank executes is compared with
 * that of a run of a single rank.
 */
final class LiveRun implements AutoCloseable {

    /** Makes a worker's data plane; the member says where others find it. */
    record Place(DataPlane plane, Member member) {}

    private record Later(long at, Runnable action) {}

    private final Kit kit;
    private final List<StateDigest> expected;
    private final BiFunction<Integer, LiveRun, Place> places;
    private final RunMachine machine;
    private final BlockingQueue<RunEvent> events = new LinkedBlockingQueue<>();
    private final PriorityQueue<Later> later =
            new PriorityQueue<>(Comparator.comparingLong(Later::at));
    private final EnumMap<RunTimer, Later> timers = new EnumMap<>(RunTimer.class);
    private final Map<Incarnation, WorkerRuntime> workers = new ConcurrentSkipListMap<>();
    private final TreeMap<Long, ScalarState> published = new TreeMap<>();
    private final BitSet stepped = new BitSet();
    private final List<String> log = new ArrayList<>();
    private Consumer<RunNews> script = _ -> {};
    private RunState state;
    private Optional<RunResult> result = Optional.empty();
    private int numbers;
    int fromDisk;

    /**
     * A run whose workers are still to be {@linkplain #add added}.
     *
     * @param expected the digests of the states before every step, and the last one
     * @param target ranks wanted at first
     */
    LiveRun(Kit kit, List<StateDigest> expected, int target, LayoutWish wish,
            BiFunction<Integer, LiveRun, Place> places) {
        this(kit, expected, target, wish, places, Duration.ofSeconds(20));
    }

    /** As the other, with least time for answers to a query. */
    LiveRun(Kit kit, List<StateDigest> expected, int target, LayoutWish wish,
            BiFunction<Integer, LiveRun, Place> places, Duration gathering) {
        this.kit = kit;
        this.expected = expected;
        this.places = places;
        this.machine = new RunMachine(new RunSettings(Kit.RUN, "nv", "build",
                kit.settings().grid(), kit.settings().plan().virtualRanks(), target, wish,
                kit.steps(), new RunSettings.Patience(Duration.ofSeconds(30),
                        gathering, Duration.ofSeconds(60), Duration.ofSeconds(30),
                        Duration.ofSeconds(60))));
        RunMachine.Transition begun = machine.begin(1);
        state = begun.state();
        begun.effects().forEach(this::perform);
    }

    /** Places of workers that share one process: no sockets. */
    static BiFunction<Integer, LiveRun, Place> local() {
        LocalPlanes planes = new LocalPlanes();
        return (number, _) -> {
            Incarnation life = life(number);
            DataPlane plane = planes.plane(life);
            return new Place(plane, member(number, plane));
        };
    }

    /** Places of workers with data planes of their own. */
    static BiFunction<Integer, LiveRun, Place> sockets() {
        return (number, run) -> {
            Incarnation life = life(number);
            DataPlane plane = SocketDataPlane.open(SocketSettings.of(
                    Kit.RUN, life, "n" + number % 2, newer -> run.stale(life, newer)));
            return new Place(plane, member(number, plane));
        };
    }

    static Incarnation life(int number) {
        return new Incarnation(number + 100);
    }

    static Member member(int number, DataPlane plane) {
        return new Member(life(number), "w" + number, "n" + number % 2, number + 1,
                plane.endpoint());
    }

    /** Is told, on the coordinator's thread, what happens. */
    LiveRun script(Consumer<RunNews> script) {
        this.script = script;
        return this;
    }

    /** Starts a worker, which offers itself. */
    void add() {
        Place place = places.apply(numbers++, this);
        Incarnation life = place.member().incarnation();
        WorkerRuntime worker = new WorkerRuntime(kit.parts(place.member(), place.plane(),
                message -> events.add(new RunEvent.FromWorker(message)),
                why -> events.add(new RunEvent.WorkerGone(life, "dismissed: " + why))));
        workers.put(life, worker);
        events.add(new RunEvent.FromWorker(worker.registration()));
    }

    /** A worker's plane heard of a newer fence. */
    void stale(Incarnation worker, Fence newer) {
        WorkerRuntime told = workers.get(worker);
        if (told != null) {
            told.staleSeen(newer);
        }
    }

    /** Ends a worker as if its process were killed. */
    void kill(Incarnation worker) {
        WorkerRuntime victim = workers.remove(worker);
        if (victim != null) {
            log("kill " + victim.member().name());
            victim.close();
            events.add(new RunEvent.WorkerGone(worker, "killed"));
        }
    }

    /** Something happens. */
    void ask(RunEvent event) {
        log(event.toString());
        events.add(event);
    }

    /** Does something after a while, on the coordinator's thread. */
    void after(long millis, Runnable action) {
        later.add(new Later(System.nanoTime() + millis * 1_000_000, action));
    }

    RunState state() {
        return state;
    }

    /** Workers that are there. */
    List<Incarnation> alive() {
        return List.copyOf(workers.keySet());
    }

    List<String> log() {
        return log;
    }

    /**
     * Whether a line says that a suspicion began a generation. Those of older generations do not:
     * who hears first of a new one closes connections that others still watch.
     */
    static boolean suspicionObeyed(String line) {
        return line.startsWith("Gathering")
                && (line.contains(" lost ") || line.contains(" waits for "));
    }

    private void log(String line) {
        log.add(line);
    }

    /** Runs to the end, which must be the last step with the digest of the single rank. */
    void finish(Duration longest) {
        long end = System.nanoTime() + longest.toNanos();
        while (result.isEmpty()) {
            RunEvent next = next(end);
            if (next != null) {
                require(next);
                RunMachine.Transition transition = machine.next(state, next);
                state = transition.state();
                transition.effects().forEach(this::perform);
            }
        }
        assertThat(result.get()).as(this::tail).isInstanceOfSatisfying(RunResult.Finished.class,
                finished -> assertThat(finished.digest()).isEqualTo(expected.getLast().hex()));
        assertThat(stepped.cardinality()).as("steps whose digest was compared")
                .isEqualTo((int) kit.steps());
    }

    private void require(RunEvent event) {
        switch (event) {
            case RunEvent.FromWorker(WorkerMessage.Stepped stepped) -> compared(
                    stepped.progress().step(), stepped.progress().stateBefore());
            case RunEvent.FromWorker(WorkerMessage.Reported(HolderReport report)) ->
                    // of steps that were committed and not finished
                    report.committed().ifPresent(committed ->
                            compared(committed.step(), committed.verdict().state()));
            case RunEvent.FromWorker(WorkerMessage.Failed failed) -> log(failed.toString());
            case RunEvent.FromWorker(WorkerMessage.Suspects suspects) -> log(suspects.toString());
            case RunEvent.WorkerGone(Incarnation who, String _) -> {
                WorkerRuntime gone = workers.remove(who);
                if (gone != null) {
                    gone.close();
                }
            }
            default -> {
                // The machine's alone.
            }
        }
    }

    private void compared(long step, StateDigest before) {
        assertThat(before).as(() -> "before step " + step + "\n" + tail())
                .isEqualTo(expected.get((int) step));
        stepped.set((int) step);
    }

    /** What has happened comes before timers: both may be there after the machine stood still. */
    private RunEvent next(long end) {
        RunEvent happened = events.poll();
        if (happened != null) {
            return happened;
        }
        long now = System.nanoTime();
        while (!later.isEmpty() && later.element().at() - now <= 0) {
            later.remove().action().run();
        }
        assertThat(end - now).as(() -> "the run does not end\n" + tail()).isPositive();
        Later soonest = later.peek();
        long wait = Math.min(end - now, soonest == null ? Long.MAX_VALUE : soonest.at() - now);
        try {
            return events.poll(wait, TimeUnit.NANOSECONDS);
        } catch (InterruptedException e) {
            throw new IllegalStateException(tail(), e);
        }
    }

    private void perform(RunEffect effect) {
        switch (effect) {
            case RunEffect.Send(Incarnation to, CoordinatorMessage message) -> {
                WorkerRuntime worker = workers.get(to);
                if (worker != null) {
                    worker.accept(message);
                }
            }
            case RunEffect.FindCheckpoint(Fence fence) -> {
                fromDisk++;
                events.add(new RunEvent.CheckpointFound(fence, Optional.ofNullable(
                        published.lastEntry()).map(e -> new RunStorage.Newest(e.getValue(), "hash"))));
            }
            case RunEffect.Publish(ScalarState scalars, var entries, long _) -> {
                assertThat(entries).hasSize(kit.settings().grid().size());
                assertThat(entries.stream().map(e -> e.digest())
                        .reduce(StateDigest.ZERO, StateDigest::plus)).as(this::tail)
                        .isEqualTo(expected.get((int) scalars.step()));
                published.put(scalars.step(), scalars);
                events.add(new RunEvent.Published(scalars.step(), "hash"));
            }
            case RunEffect.LogGeneration _ -> { }
            case RunEffect.StartTimer(RunTimer timer, Fence fence, Duration after) -> {
                stop(timer);
                Later set = new Later(System.nanoTime() + after.toNanos(), () -> {
                    timers.remove(timer);
                    ask(new RunEvent.TimerFired(timer, fence));
                });
                timers.put(timer, set);
                later.add(set);
            }
            case RunEffect.CancelTimer(RunTimer timer) -> stop(timer);
            case RunEffect.Announce(RunNews news) -> announced(news);
            case RunEffect.End(RunResult end) -> result = Optional.of(end);
        }
    }

    private void stop(RunTimer timer) {
        Later set = timers.remove(timer);
        if (set != null) {
            later.remove(set);
        }
    }

    private void announced(RunNews news) {
        switch (news) {
            case RunNews.Resharding r -> log("Resharding[" + r.plan().fence() + " "
                    + r.plan().placement().layout() + " on "
                    + r.plan().members().stream().map(Member::name).toList() + " "
                    + r.plan().start() + "]");
            case RunNews.Stepped _, RunNews.StaleMessage _ -> {
                // Too many to tell of.
            }
            default -> log(news.toString());
        }
        script.accept(news);
    }

    private String tail() {
        return String.join("\n", log.subList(Math.max(0, log.size() - 40), log.size()));
    }

    @Override
    public void close() {
        workers.values().forEach(WorkerRuntime::close);
    }
}
