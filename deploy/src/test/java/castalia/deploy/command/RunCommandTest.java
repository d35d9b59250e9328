package castalia.deploy.command;

import static org.assertj.core.api.Assertions.assertThat;

import castalia.checkpoints.RunFolder;
import castalia.deploy.Cli;
import castalia.deploy.TinyYaml;
import castalia.deploy.status.RunStatus;
import castalia.deploy.status.StatusFile;
import castalia.protocol.layout.LayoutWish;
import castalia.protocol.layout.ParallelLayout;
import castalia.protocol.planner.Recomputation;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;

/** Layouts asked for on the command line, of runs that no other process trains. */
@Timeout(value = 120, unit = TimeUnit.SECONDS)
class RunCommandTest {

    @TempDir
    @SuppressWarnings("NullAway.Init") // JUnit fills it
    Path folder;

    @SuppressWarnings("NullAway.Init") // set before every test
    private Path config;

    @SuppressWarnings("NullAway.Init") // set before every test
    private Path run;

    @BeforeEach
    void prepare() throws IOException {
        config = folder.resolve("run.yml");
        Files.writeString(config, TinyYaml.of(3, 100).withTensorSlices(2).text());
        run = folder.resolve("run");
    }

    private Cli.Result train(Object... more) {
        Object[] args = new Object[5 + more.length];
        System.arraycopy(new Object[] {"train", "--config", config, "--run", run}, 0, args, 0, 5);
        System.arraycopy(more, 0, args, 5, more.length);
        return Cli.run(args);
    }

    private static void refused(Cli.Result result, String... words) {
        assertThat(result.code()).as("%s", result).isEqualTo(10);
        assertThat(result.err().lines()).singleElement().asString()
                .startsWith("castalia: ").contains(words).doesNotContain("unexpected error");
    }

    private void assertNothingAsked() throws IOException {
        try (RunFolder opened = RunFolder.openToRead(run)) {
            assertThat(opened.layouts().newest()).isEmpty();
        }
    }

    @Test
    void whatNoLayoutOfTheRunCanHaveIsRefusedBeforeAnythingChanges() throws IOException {
        assertThat(train("--threads", 1).code()).isZero();
        refused(Cli.run("run", "reshard", run, "--tp", 3), "tensor parallel degree 3", "use 1 or 2");
        refused(Cli.run("run", "reshard", run, "--tp", 4), "tensor parallel degree 4", "use 1 or 2");
        refused(Cli.run("run", "reshard", run, "--dp", 5), "degree 5", "between 1 and the run's 4");
        refused(Cli.run("run", "reshard", run, "--zero", 4), "ZeRO stage 4 is none of 0, 1, 2, 3");
        refused(Cli.run("run", "reshard", run, "--buddies", 3), "3 buddies: choose 0, 1 or 2");
        refused(Cli.run("run", "reshard", run), "--dp, --tp, --zero and --buddies");
        refused(Cli.run("run", "reshard", run, "--tp", 1, "--wait", -1), "--wait -1");
        refused(Cli.run("run", "reshard", folder, "--tp", 1), folder.toString(), "no run folder");
        refused(Cli.run("run", "status", folder.resolve("none")), "no folder");
        refused(train("--ranks", 3, "--tp", 2), "--ranks 3 is no multiple of --tp 2: use 2 or 4");
        refused(train("--ranks", 3, "--dp", 2, "--tp", 1), "--ranks 3", "use --ranks 2");
        refused(train("--ranks", 5), "4 virtual ranks on 5 ranks: use 1 to 4");
        refused(train("--ranks", 9, "--dp", 0, "--tp", 2), "9 ranks: use 1 to 8");
        refused(train("--zero", 7), "ZeRO stage 7");
        refused(train("--local", "--tp", 2), "--local N, or --dp");
        refused(train("--local", 3, "--tp", 2), "--local 3 is no multiple of --tp 2: use 2 or 4");
        refused(train("--local", 5, "--tp", 1), "--local 5 must lie between 1 and 4");
        assertNothingAsked();
    }

    @Test
    void aLayoutThatHasNoRoomOnTheWorkersMachineIsRefusedBeforeAnythingChanges() throws IOException {
        assertThat(train("--threads", 1).code()).isZero();
        try (RunFolder looking = RunFolder.openToRead(run);
                RunFolder training = RunFolder.openToTrain(run, looking.specification())) {
            assertThat(training.leader()).contains(RunFolder.thisProcess());
            workersOn(1 << 16);
            Cli.Result none = Cli.run("run", "reshard", run, "--zero", 0, "--wait", 0);
            assertThat(none.code()).as("%s", none).isEqualTo(15);
            assertThat(none.err().lines()).singleElement().asString()
                    .contains("2x1 ZeRO 0", "needs", "no layout fits");
            assertNothingAsked();
            workersOn(1L << 40);
            Cli.Result room = Cli.run("run", "reshard", run, "--zero", 0, "--wait", 0);
            assertThat(room.code()).as("%s", room).isZero();
            assertThat(looking.layouts().newest()).contains(new LayoutWish(0, 1, 0, 1));
        }
    }

    /** As the leader of two workers of one machine says it. */
    private void workersOn(long memoryBytes) throws IOException {
        new StatusFile(RunFolder.status(run)).write(new RunStatus(RunFolder.thisProcess(), 1, false, "",
                RunStatus.RUNNING, "1.1", 1, 3, -1, ParallelLayout.of(2), null, null,
                List.of("w0@n", "w1@n"), List.of(), null,
                new RunStatus.Machine("n", memoryBytes, Recomputation.NONE)));
    }

    @Test
    void whereNobodyTrainsTheNextStartTakesWhatWasAskedFor() throws IOException {
        Cli.Result whole = train("--threads", 1);
        assertThat(whole.code()).as("%s", whole).isZero();
        assertThat(whole.out()).contains("layout 1x1 ZeRO 1 (usual) on 1 ranks");
        assertNothingAsked();
        Files.writeString(config, TinyYaml.of(3, 1).withTensorSlices(2).text());
        run = folder.resolve("other");
        assertThat(train("--dp", 2, "--tp", 2, "--zero", 2).out())
                .contains("layout 2x2 ZeRO 2 (the command line) on 4 ranks");
        Cli.Result asked = Cli.run("run", "reshard", run, "--zero", 0, "--json");
        assertThat(asked.code()).as("%s", asked).isZero();
        assertThat(asked.out()).contains("asked       for 2x2 ZeRO 0", "nobody ", "next start")
                .contains("\"outcome\":\"next-start\"");
        Cli.Result status = Cli.run("run", "status", run, "--json");
        assertThat(status.out()).contains("trained by  nobody", "wanted      2x2 ZeRO 0",
                "checkpoint  step 3", "\"leader\":null", "\"checkpoint\":3");
        Cli.Result again = train("--ranks", 4);
        assertThat(again.out()).contains("layout 2x2 ZeRO 0 (asked for before) on 4 ranks");
        assertThat(again.word("state")).isEqualTo(whole.word("state"));
        assertThat(train("--ranks", 3).out())
                .contains("layout 1x2 ZeRO 0 (asked for before) on 2 ranks");
    }

    @Test
    void theFileSaysHowAFirstStartIsLaidOutAndTheCommandLineCountsMore() throws IOException {
        String text = TinyYaml.of(2, 100).withTensorSlices(2).text();
        Files.writeString(config, text.replace("\"castalia\": {",
                "\"castalia\": {\"data-parallel\": 3, \"tensor-parallel\": 2, \"buddies\": 2,"));
        assertThat(train().out()).contains("layout 3x2 ZeRO 1 buddies 2 (the file) on 6 ranks");
        run = folder.resolve("second");
        assertThat(train("--tp", 1, "--ranks", 2).out())
                .contains("layout 2x1 ZeRO 1 buddies 2 (the command line) on 2 ranks");
        run = folder.resolve("third");
        Files.writeString(config, text.replace("\"castalia\": {", "\"model-parallel-size\": 2\n"
                + "\"zero_optimization\": {\"stage\": 2}\n\"castalia\": {"));
        assertThat(train("--ranks", 4).out()).contains("layout 2x2 ZeRO 2 (the file) on 4 ranks");
        run = folder.resolve("fourth");
        assertThat(train("--ranks", 3)).asString().contains("layout 3x1 ZeRO 2 (the file) on 3 ranks");
        Files.writeString(config, text.replace("\"castalia\": {",
                "\"castalia\": {\"data-parallel\": 5, \"tensor-parallel\": 4,"));
        Cli.Result wrong = train();
        assertThat(wrong.code()).isEqualTo(10);
        assertThat(wrong.err()).contains("castalia: data-parallel: data parallel degree 5",
                "castalia: tensor-parallel: tensor parallel degree 4");
    }
}
