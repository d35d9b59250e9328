package castalia.deploy.cluster;

import static org.assertj.core.api.Assertions.assertThat;

import castalia.actors.node.AgentNews;
import castalia.protocol.identity.Member;
import castalia.protocol.layout.LayoutRequest;
import castalia.protocol.run.RunNews;
import castalia.protocol.run.RunResult;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Optional;
import java.util.Random;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicReference;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** A worker that dies or freezes in a run changes no bit of the result. */
@Timeout(value = 240, unit = TimeUnit.SECONDS)
class DeathTest {

    private static final int STEPS = 400;

    /** Far from the end, which may come before a kill where the machine stands still. */
    private static final int LAST_KILL = 80;

    /** Longer than it takes: the run is stopped. */
    private static final int FROZEN_STEPS = 20_000;

    @TempDir
    @SuppressWarnings("NullAway.Init") // JUnit fills it
    Path folder;

    @Tag("default")
    @ParameterizedTest
    @ValueSource(longs = {1, 2, 4})
    void aWorkerKilledAtAnyMomentCostsNothing(long seed) throws IOException {
        kill(seed, 2);
    }

    @Tag("full")
    @ParameterizedTest
    @ValueSource(longs = {11, 12, 13, 14, 15, 16, 17, 18, 19, 20,
            21, 22, 23, 24, 25, 26, 27, 28, 29, 30})
    void norAtTwentyOtherMoments(long seed) throws IOException {
        kill(seed, 2 + (int) (seed / 2 % 2));
    }

    private void kill(long seed, int workers) throws IOException {
        Random random = new Random(seed * 1_000_003); // small seeds alone begin alike
        String precision = seed % 2 == 1 ? "fp32" : "bf16";
        int spares = seed % 3 == 0 ? 1 : 0;
        long step = random.nextInt(LAST_KILL);
        long millis = random.nextInt(15);
        int victim = random.nextInt(workers);
        TinyRun tiny = TinyRun.write(folder, precision, 24, STEPS, STEPS);
        AtomicReference<Optional<Member>> killed = new AtomicReference<>(Optional.empty());
        Witness witness = new Witness((w, progress) -> {
            if (progress.step() >= step && killed.get().isEmpty()) {
                Member member = w.members().get(victim);
                killed.set(Optional.of(member));
                sleep(millis);
                Signals.send("KILL", member.pid());
            }
        });
        TinyRun.Answer answer =
                tiny.onWorkers(folder.resolve("cluster"), workers, spares, witness);
        String story = "seed " + seed + ", step " + step + ", rank " + victim + " of " + workers
                + "\n" + witness;
        assertThat(killed.get()).as(story).isPresent();
        assertThat(answer).as(story).isEqualTo(tiny.alone(folder.resolve("alone")));
        if (!witness.dismissedAnyBut(killed.get())) {
            assertThat(witness.lost()).as(story).isZero();
            assertThat(witness.fromDisk()).as(story).isZero();
            assertThat(witness.diskBytes()).as(story).isZero();
        }
        assertThat(witness.count(news -> news instanceof RunNews.Detected(Member who, _)
                && who.equals(killed.get().orElseThrow()))).as(story).isOne();
    }

    @Tag("default")
    @Test
    void aFrozenWorkerIsLeftBehindAndEndsWhenItWakes() throws Exception {
        TinyRun tiny = TinyRun.write(folder, "fp32", 128, FROZEN_STEPS, FROZEN_STEPS);
        AtomicReference<Optional<Member>> frozen = new AtomicReference<>(Optional.empty());
        AtomicReference<Optional<Throwable>> wrong = new AtomicReference<>(Optional.empty());
        Witness witness = new Witness((w, progress) -> {
            if (progress.step() >= 10 && frozen.get().isEmpty()) {
                Member member = w.members().get(1);
                frozen.set(Optional.of(member));
                Signals.send("STOP", member.pid());
                Thread.ofVirtual().start(() -> wake(w, member, wrong));
            }
        });
        RunResult.Stopped stopped = tiny.untilStopped(folder.resolve("cluster"), 2, witness);
        Member zombie = frozen.get().orElseThrow();
        assertThat(wrong.get()).as("%s", witness).isEmpty();
        assertThat(stopped.stateHash()).isEqualTo(tiny.until(stopped.step(), folder.resolve("alone"), 1,
                LayoutRequest.NOTHING, (_, _) -> {}));
        if (!witness.dismissedAnyBut(Optional.of(zombie))) {
            assertThat(witness.lost()).isZero();
            assertThat(witness.fromDisk()).isZero();
        }
        assertThat(witness.count(news -> news instanceof RunNews.Detected(Member who, _)
                && who.equals(zombie))).as("%s", witness).isOne();
        String log = Files.readString(folder.resolve("cluster").resolve(RunCluster.LOGS)
                .resolve(zombie.name() + "-" + zombie.incarnation() + ".log"));
        assertThat(log).contains("worker " + zombie.name() + " ends: did not answer a query");
        // fenced: what it says when it wakes, and after the answer to the query it slept through
        long refused = witness.count(news ->
                news instanceof RunNews.StaleMessage(_, var who, _)
                        && who.equals(zombie.incarnation()));
        assertThat(refused).as("%s", witness).isPositive();
        assertThat(witness.cluster().view().snapshot().staleMessages())
                .as("counted, as the page shows it").isGreaterThanOrEqualTo(refused);
    }

    /** When the others have gone on without it; and stops the run when it has ended. */
    private static void wake(
            Witness witness, Member zombie, AtomicReference<Optional<Throwable>> wrong) {
        try {
            witness.await("going on without the frozen worker", news ->
                    news instanceof RunNews.Resharding reshard
                            && reshard.excluded().contains(zombie));
            Signals.send("CONT", zombie.pid());
            witness.awaitAgent("the end of the worker that woke", news ->
                    news instanceof AgentNews.Ended(_, var life, String how)
                            && life.equals(zombie.incarnation())
                            && !how.contains("SIGKILL") && !how.contains("code 0"));
        } catch (Throwable e) {
            wrong.set(Optional.of(e));
        } finally {
            Signals.send("CONT", zombie.pid());
            witness.cluster().stop();
        }
    }

    private static void sleep(long millis) {
        try {
            Thread.sleep(millis);
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
        }
    }
}
