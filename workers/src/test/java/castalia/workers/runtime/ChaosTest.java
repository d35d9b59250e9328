package castalia.workers.runtime;

import static org.assertj.core.api.Assertions.assertThat;

import castalia.protocol.identity.Fence;
import castalia.protocol.identity.Incarnation;
import castalia.protocol.identity.Member;
import castalia.protocol.layout.LayoutWish;
import castalia.protocol.planner.Recomputation;
import castalia.protocol.run.RunNews;
import castalia.protocol.specification.TrainingPlan;
import castalia.workers.exchange.socket.ChaosProxy.Fault;
import castalia.workers.exchange.socket.ChaosProxy.Lane;
import castalia.workers.exchange.socket.ChaosProxy;
import castalia.workers.exchange.socket.SocketDataPlane;
import castalia.workers.exchange.socket.SocketSettings;
import castalia.workers.rank.RankSettings;
import castalia.workers.rank.TinyRun.Layout;
import castalia.workers.rank.TinyRun;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Collections;
import java.util.EnumMap;
import java.util.EnumSet;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Random;
import java.util.Set;
import java.util.TreeMap;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/**
 * What connections can do to frames, at positions drawn from a seed, between real workers: it is
 * found and the peer named, a new generation goes on, and no step's digest is another than that of a
 * single rank.
 */
@Tag("default")
@Timeout(value = 10, unit = TimeUnit.MINUTES, threadMode = Timeout.ThreadMode.SEPARATE_THREAD)
class ChaosTest {

    @TempDir Path folder;

    /** One fault after the other, each when the one before is done with. */
    private static final class Script {

        private static final int FARTHEST = 300;
        private static final int STEPS_UNHARMED = 4;
        private static final int MOST_UNNAMED = 2;

        private final LiveRun run;
        private final Map<Incarnation, ChaosProxy> proxies;
        private final Random random;
        private final List<Fault> left;
        private final Lane lane;
        final EnumMap<Fault, Integer> done = new EnumMap<>(Fault.class);
        private Optional<Fault> now = Optional.empty();
        private Incarnation receiver = new Incarnation(0);
        private Fence fence = Fence.NONE;
        private Fence armedUnder = Fence.NONE;
        private int logged;
        private long since;
        private int unnamed;

        Script(LiveRun run, Map<Incarnation, ChaosProxy> proxies, List<Fault> faults, Lane lane,
                long seed) {
            this.lane = lane;
            this.run = run;
            this.proxies = proxies;
            this.random = new Random(seed);
            this.left = new ArrayList<>(faults);
            Collections.shuffle(left, random);
        }

        void on(RunNews news) {
            if (news instanceof RunNews.Running running) {
                fence = running.fence();
                Optional<Incarnation> sender = struck();
                if (sender.isPresent() && !now.orElseThrow().harmless()) {
                    found(sender.get());
                }
            } else if (news instanceof RunNews.Stepped stepped) {
                stepped(stepped.progress().step());
            }
        }

        private Optional<Incarnation> struck() {
            return now.isEmpty() ? Optional.empty() : proxies.get(receiver).struck();
        }

        private void stepped(long step) {
            if (now.isEmpty() && !left.isEmpty()) {
                arm(left.removeFirst());
            } else if (now.isPresent() && (struck().isEmpty() || !now.get().harmless())) {
                since = step;
            } else if (now.isPresent() && step > since + STEPS_UNHARMED) {
                assertThat(news()).as("%s", now).noneMatch(line -> line.contains("broken=true"));
                settled();
            }
        }

        private void arm(Fault fault) {
            List<Incarnation> members = List.copyOf(proxies.keySet());
            now = Optional.of(fault);
            receiver = members.get(random.nextInt(members.size()));
            armedUnder = fence;
            logged = run.log().size();
            proxies.get(receiver).arm(
                    fault, lane, random.nextInt(lane == Lane.ANY ? FARTHEST : FARTHEST / 5));
        }

        private List<String> news() {
            return run.log().subList(logged, run.log().size());
        }

        /**
         * A fault ended a generation. All wait equally long, so of a connection that stalls somebody may be
         * heard first who waits for a rank that waits itself, where that began its wait late: it stalls again.
         */
        private void found(Incarnation sender) {
            assertThat(fence.newerThan(armedUnder)).isTrue();
            boolean named = news().stream().anyMatch(line -> line.startsWith("Suspects")
                    && (line.contains("about=" + sender) || line.contains("about=" + receiver)));
            if (!named && now.orElseThrow() == Fault.STALL && unnamed < MOST_UNNAMED) {
                unnamed++;
                left.addFirst(Fault.STALL);
                now = Optional.empty();
                return;
            }
            assertThat(named).as("%s of a frame from %s to %s is named in %s", now, sender, receiver, news())
                    .isTrue();
            settled();
        }

        private void settled() {
            done.merge(now.orElseThrow(), 1, Integer::sum);
            now = Optional.empty();
        }
    }

    private LiveRun.Place place(
            int number, LiveRun run, boolean unix, Map<Incarnation, ChaosProxy> proxies) {
        Incarnation life = LiveRun.life(number);
        SocketSettings settings = SocketSettings.of(
                Kit.RUN, life, "n", newer -> run.stale(life, newer));
        SocketDataPlane plane = SocketDataPlane.open(
                unix ? settings.withSocketFolder(folder.toString()) : settings);
        try {
            ChaosProxy proxy = new ChaosProxy(plane.endpoint(),
                    unix ? Optional.of(folder) : Optional.empty(), number);
            proxies.put(life, proxy);
            return new LiveRun.Place(plane,
                    new Member(life, "w" + number, "n", number + 1, proxy.endpoint()));
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    private void endure(LayoutWish layout, boolean unix, List<Fault> faults, int steps, long seed) {
        endure(layout, unix, faults, Lane.ANY, steps, seed);
    }

    private void endure(LayoutWish layout, boolean unix, List<Fault> faults, Lane lane, int steps,
            long seed) {
        TrainingPlan plan = TinyRun.eightSlices().trainSteps(steps).build();
        RankSettings settings = RankSettings.of(plan, Recomputation.NONE);
        Kit kit = new Kit(settings, new MemoryCheckpoints(settings.grid()), _ -> 1, steps,
                _ -> false, Optional.empty());
        Map<Incarnation, ChaosProxy> proxies = new TreeMap<>();
        try (LiveRun run = new LiveRun(kit, TinyRun.trace(plan, Layout.plain(), steps),
                layout.ranks(), layout, (number, of) -> place(number, of, unix, proxies))) {
            for (int i = 0; i < layout.ranks(); i++) {
                run.add();
            }
            Script script = new Script(run, proxies, faults, lane, seed);
            run.script(script::on);
            run.finish(Duration.ofMinutes(5));
            assertThat(script.left).as("faults that no step was left for").isEmpty();
            assertThat(script.done.values().stream().mapToInt(n -> n).sum())
                    .isEqualTo(faults.size());
            assertThat(run.alive()).hasSize(layout.ranks());
            assertThat(run.fromDisk).as("only the start").isEqualTo(1);
            assertThat(run.log()).noneMatch(line -> line.startsWith("Failed"));
        } finally {
            proxies.values().forEach(ChaosProxy::close);
        }
    }

    private static List<Fault> times(int count, Set<Fault> of) {
        return of.stream().flatMap(fault -> Collections.nCopies(count, fault).stream()).toList();
    }

    /** Data parallel ranks of unlike blocks over TCP; a replica of two and ZeRO 2 over sockets of a host. */
    @ParameterizedTest
    @CsvSource({"3, 1, 1, false, 1", "2, 2, 2, true, 2"})
    void noFaultOfAConnectionChangesABit(
            int dataParallel, int tensorParallel, int zero, boolean unix, long seed) {
        endure(new LayoutWish(dataParallel, tensorParallel, zero, 1), unix,
                times(2, EnumSet.complementOf(EnumSet.of(Fault.STALL))), 120, seed);
    }

    /**
     * Connections for requests for weights and their answers. A request of long ago is not among the
     * faults: nothing is served for it any more, which ends the connection.
     */
    @ParameterizedTest
    @CsvSource({"3, 1, false, 5", "2, 2, true, 6"})
    void norDoesOneOfAConnectionForWeights(
            int dataParallel, int tensorParallel, boolean unix, long seed) {
        endure(new LayoutWish(dataParallel, tensorParallel, 3, 1), unix,
                times(1, EnumSet.complementOf(EnumSet.of(Fault.REPLAYED))), Lane.WEIGHTS, 120, seed);
    }

    @ParameterizedTest
    @CsvSource({"5, 1, 1, false, 3", "1, 2, 2, true, 4"})
    void aConnectionThatStallsIsReplaced(
            int dataParallel, int tensorParallel, int zero, boolean unix, long seed) {
        endure(new LayoutWish(dataParallel, tensorParallel, zero, 1), unix,
                times(2, EnumSet.of(Fault.STALL)), 40, seed);
    }

    @Tag("full")
    @ParameterizedTest
    @CsvSource({"2, 1, 0, false, 11", "3, 2, 2, true, 12", "5, 1, 2, false, 13", "1, 4, 1, true, 14"})
    void norDoManyFaults(
            int dataParallel, int tensorParallel, int zero, boolean unix, long seed) {
        endure(new LayoutWish(dataParallel, tensorParallel, zero, 1), unix,
                times(5, EnumSet.allOf(Fault.class)), 600, seed);
    }
}
