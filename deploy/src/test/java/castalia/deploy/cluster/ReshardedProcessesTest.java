package castalia.deploy.cluster;

import static org.assertj.core.api.Assertions.assertThat;

import castalia.deploy.Cli;
import castalia.protocol.control.GenerationPlan.Start;
import castalia.protocol.identity.Member;
import castalia.protocol.layout.LayoutRequest;
import castalia.protocol.layout.ParallelLayout;
import castalia.protocol.run.RunNews;
import java.io.IOException;
import java.nio.file.Path;
import java.util.List;
import java.util.Optional;
import java.util.OptionalInt;
import java.util.Random;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicReference;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

/** Worker processes in layouts that are split, changed while they run, and lose members. */
@Timeout(value = 240, unit = TimeUnit.SECONDS)
class ReshardedProcessesTest {

    private static final int STEPS = 120;

    /** Longer than any test: the run is stopped. */
    private static final int ENDLESS = 1_000_000;

    @TempDir
    @SuppressWarnings("NullAway.Init") // JUnit fills it
    Path folder;

    private static LayoutRequest layout(int d, int t, int zero, int buddies) {
        return new LayoutRequest(OptionalInt.of(d), OptionalInt.of(t), OptionalInt.of(zero),
                OptionalInt.of(buddies));
    }

    private static void reshard(Path run, LedProcess led, String result, Object... words) {
        Object[] args = new Object[4 + words.length];
        System.arraycopy(new Object[] {"run", "reshard", run, "--json"}, 0, args, 0, 4);
        System.arraycopy(words, 0, args, 4, words.length);
        Cli.Result done = Cli.run(args);
        assertThat(done.code()).as("%s%n%s", done, led.output()).isZero();
        assertThat(done.out()).as(led.output()).contains("runs        " + result + ", generation")
                .contains("\"outcome\":\"runs\"").contains("of state moved between workers");
    }

    @Tag("default")
    @Test
    void aRunningRunTakesTheLayoutsThatAreAskedFor() throws Exception {
        TinyRun tiny = TinyRun.sliced(folder, "fp32", 24, ENDLESS, 500_000);
        Path run = folder.resolve("cluster");
        long stopped;
        try (LedProcess led = LedProcess.start(tiny, run, 4, "--tp", 2, "--zero", 0)) {
            led.awaitSteps(20);
            assertThat(Cli.run("run", "status", run).out())
                    .contains("trained by  pid " + led.pid(), "members     w",
                            "page        http://127.0.0.1:")
                    .containsPattern("layout {6}2x2 ZeRO 0, generation 1\\.\\d+");
            reshard(run, led, "3x1 ZeRO 2", "--dp", 3, "--tp", 1, "--zero", 2);
            led.awaitSteps((int) led.stepsDone() + 10);
            reshard(run, led, "2x2 ZeRO 3 buddies 2", "--dp", 0, "--tp", 2, "--zero", 3,
                    "--buddies", 2);
            led.awaitSteps((int) led.stepsDone() + 10);
            Cli.Result fewer = Cli.run("run", "reshard", run, "--dp", 4, "--tp", 2);
            assertThat(fewer.code()).as("%s%n%s", fewer, led.output()).isOne();
            assertThat(fewer.out()).contains(
                    "there are 4 workers: 2x2 ZeRO 3 buddies 2 runs instead");
            Signals.send("TERM", led.pid());
            assertThat(led.exit()).as(led.output()).isEqualTo(143);
            stopped = Long.parseLong(led.output().lines()
                    .filter(line -> line.startsWith("stopped after step ")).findFirst().orElseThrow()
                    .replaceAll("\\D+(\\d+).*", "$1"));
        }
        assertThat(Cli.run("run", "reshard", run, "--dp", 1, "--zero", 2, "--buddies", 0).out())
                .contains("its next start takes this layout");
        AtomicReference<String> laidOut = new AtomicReference<>("");
        String state = tiny.until(stopped + 5, run, 2, LayoutRequest.NOTHING,
                (layout, on) -> laidOut.set(layout + ", " + on));
        assertThat(laidOut).hasValue("1x2 ZeRO 2 buddies 0, asked for before");
        assertThat(state).isEqualTo(tiny.until(stopped + 5, folder.resolve("alone"), 1,
                LayoutRequest.NOTHING, (_, _) -> {}));
    }

    @Tag("full")
    @Test
    void aWorkerKilledInALayoutCostsNothing() throws IOException {
        kill(7, "fp32", new ParallelLayout(2, 2, 2, 1));
    }

    @Tag("full")
    @ParameterizedTest
    @ValueSource(longs = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12})
    void norInTwelveOthers(long seed) throws IOException {
        Random random = new Random(seed);
        int t = 1 << random.nextInt(2);
        int d = 2 + random.nextInt(t == 2 ? 1 : 3);
        int zero = random.nextInt(4);
        kill(seed, List.of("fp32", "bf16", "fp16").get(random.nextInt(3)),
                new ParallelLayout(d, t, zero, 1 + random.nextInt(2)));
    }

    private void kill(long seed, String precision, ParallelLayout in) throws IOException {
        Random random = new Random(seed);
        long step = random.nextInt(STEPS - 30);
        int victim = random.nextInt(in.ranks());
        TinyRun tiny = TinyRun.sliced(folder, precision, 24, STEPS, 100);
        AtomicReference<Optional<Member>> killed = new AtomicReference<>(Optional.empty());
        Witness witness = new Witness((w, progress) -> {
            if (progress.step() >= step && killed.get().isEmpty()) {
                Member member = w.members().get(victim);
                killed.set(Optional.of(member));
                Signals.send("KILL", member.pid());
            }
        });
        TinyRun.Answer answer = tiny.onWorkers(folder.resolve("cluster"), in.ranks(), 0,
                layout(in.dataParallel(), in.tensorParallel(), in.zero(), in.buddies()), witness);
        String story = "seed " + seed + ", step " + step + ", rank " + victim + " of " + in
                + "\n" + witness;
        assertThat(killed.get()).as(story).isPresent();
        assertThat(answer).as(story).isEqualTo(tiny.alone(folder.resolve("alone")));
        assertThat(witness.lost()).as(story).isZero();
        assertThat(witness.fromDisk()).as(story).isZero();
        assertThat(witness.count(news -> news instanceof RunNews.Resharding reshard
                && reshard.plan().start() instanceof Start.Initial
                && reshard.plan().placement().layout().equals(in))).as(story).isOne();
        assertThat(witness.count(news -> news instanceof RunNews.Detected(Member who, _)
                && who.equals(killed.get().orElseThrow()))).as(story).isOne();
    }

    @Tag("full")
    @ParameterizedTest
    @CsvSource({"fp32, 2, 2, 0, 1", "bf16, 2, 2, 2, 1", "fp16, 1, 2, 1, 1", "fp32, 3, 1, 2, 2",
            "bf16, 3, 1, 0, 0", "fp32, 3, 2, 1, 2", "fp16, 4, 1, 2, 0",
            "fp32, 2, 2, 3, 1", "bf16, 3, 1, 3, 1"})
    void anUndisturbedRunInAnyLayoutEndsWithTheSameState(
            String precision, int d, int t, int zero, int buddies) throws IOException {
        TinyRun tiny = TinyRun.sliced(folder, precision, 24, 30, 10);
        TinyRun.Answer answer = tiny.onWorkers(folder.resolve("cluster"), d * t, 0,
                layout(d, t, zero, buddies), new Witness());
        assertThat(answer).isEqualTo(tiny.alone(folder.resolve("alone")));
    }
}
