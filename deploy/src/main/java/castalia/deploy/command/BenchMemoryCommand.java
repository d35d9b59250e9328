package castalia.deploy.command;

import castalia.deploy.bench.MemoryBench;
import castalia.deploy.cluster.FreshProcess;
import castalia.deploy.cluster.OrphanWatch;
import castalia.deploy.shell.CastaliaHome;
import castalia.deploy.shell.JsonOption;
import castalia.protocol.CastaliaException;
import castalia.protocol.ErrorCode;
import castalia.protocol.layout.ParallelLayout;
import castalia.protocol.model.Gelu;
import castalia.protocol.model.ModelShape;
import castalia.protocol.schedule.LearningRateSchedule;
import castalia.protocol.specification.Precision;
import castalia.protocol.specification.TrainingPlan;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.IOException;
import java.io.PrintWriter;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.concurrent.Callable;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.Spec;

/** {@code bench memory}: what layouts take, against the planner's formula. */
@Command(
        name = "memory",
        description = {
            "Compare the memory that ZeRO stages take with the planner's formula.",
            "Each stage runs in a fresh process that hosts all its ranks and executes a few steps on few",
            "tokens. Its peak resident memory is compared with that of one with a tiny model."
        },
        footer = {"", "Example:", "  ./castalia bench memory --model pythia-31m --stages 0,1,2 --json"})
final class BenchMemoryCommand implements Callable<Integer> {
    private static final Duration DEADLINE = Duration.ofMinutes(10);
    private static final int STEPS = 3;
    private static final int SEQUENCE = 16;
    private static final String TINY = "tiny";
    private static final double MIB = 1 << 20;

    @Spec
    @SuppressWarnings("NullAway.Init") // picocli fills it before anything runs
    private CommandSpec spec;

    @Mixin
    private JsonOption json = new JsonOption();

    @Option(names = "--model", paramLabel = "NAME", defaultValue = "pythia-31m",
            description = "A published model (default: pythia-31m).")
    private String model = "pythia-31m";

    @Option(names = "--dp", paramLabel = "D", defaultValue = "4",
            description = "Replicas, each a rank (default: 4).")
    private int dataParallel;

    @Option(names = "--stages", paramLabel = "S,...", split = ",", defaultValue = "0,1,2,3",
            description = "ZeRO stages (default: 0,1,2,3).")
    private List<Integer> stages = List.of();

    @Option(names = "--buddies", paramLabel = "B", defaultValue = "1",
            description = "Buddies from stage 1 on (default: 1).")
    private int buddies;

    @Option(names = "--here", hidden = true, paramLabel = "S",
            description = "Measure a stage in this process.")
    private @Nullable Integer here;

    /** A stage beside the baseline. */
    @SuppressWarnings("MemberName") // the names of the JSON line
    private record Row(
            String layout, long planned_bytes, long arena_bytes, long device_bytes,
            long resident_bytes, double arena_ratio, double resident_ratio) {

        static Row of(MemoryBench.Result stage, MemoryBench.Result baseline) {
            long planned = stage.planned_bytes() - baseline.planned_bytes();
            long resident = stage.peak_bytes() - baseline.peak_bytes();
            return new Row(stage.layout(), stage.planned_bytes(), stage.arena_bytes(),
                    stage.device_bytes(), resident,
                    (double) stage.arena_bytes() / stage.planned_bytes(),
                    (double) resident / planned);
        }
    }

    private record Report(String model, long baseline, List<Row> stages) {}

    @Override
    public Integer call() {
        PrintWriter out = spec.commandLine().getOut();
        if (here != null) {
            OrphanWatch.start(System.in);
            out.println(JsonOption.line(MemoryBench.here(
                    plan(model), layout(here), STEPS, CastaliaHome.ofProcess())));
            out.flush();
            return 0;
        }
        plan(model);
        stages.forEach(this::layout);
        MemoryBench.Result baseline = measured(TINY, stages.isEmpty() ? 1 : stages.getFirst());
        out.printf(Locale.ROOT, "%s, fp32, %d ranks in one process; MiB; peak of the process with a tiny"
                + " model %.0f%n", model, dataParallel, baseline.peak_bytes() / MIB);
        out.printf("%-24s %9s %9s %9s %9s %9s%n", "layout", "formula", "arenas", "resident",
                "arenas/f", "resident/f");
        List<Row> rows = new ArrayList<>();
        for (int stage : stages) {
            Row row = Row.of(measured(model, stage), baseline);
            rows.add(row);
            out.printf(Locale.ROOT, "%-24s %9.1f %9.1f %9.1f %9.3f %9.3f%n", row.layout(),
                    row.planned_bytes() / MIB, row.arena_bytes() / MIB, row.resident_bytes() / MIB,
                    row.arena_ratio(), row.resident_ratio());
            out.flush();
        }
        json.printLast(out, new Report(model, baseline.peak_bytes(), rows));
        return 0;
    }

    private ParallelLayout layout(int stage) {
        try {
            return new ParallelLayout(dataParallel, 1, stage, stage == 0 ? 0 : buddies);
        } catch (IllegalArgumentException e) {
            throw CastaliaException.of(ErrorCode.CONFIG_INVALID, e);
        }
    }

    private MemoryBench.Result measured(String of, int stage) {
        try {
            Path log = Files.createTempFile("bench-memory", ".log");
            try {
                String line = FreshProcess.run(List.of("bench", "memory", "--model", of, "--dp",
                        Integer.toString(dataParallel), "--buddies", Integer.toString(buddies),
                        "--here", Integer.toString(stage)), log, DEADLINE);
                return new ObjectMapper().readValue(line, MemoryBench.Result.class);
            } finally {
                Files.deleteIfExists(log);
            }
        } catch (IOException e) {
            throw new CastaliaException(ErrorCode.STORAGE_FAILED,
                    "cannot hear of a process: " + e.getMessage(), e);
        }
    }

    private TrainingPlan plan(String name) {
        ModelShape shape = name.equals(TINY)
                ? new ModelShape(2, 32, 4, 128, 256, SEQUENCE, 4, 10_000, 1e-5, true, Gelu.TANH, 1)
                : BenchCommand.preset(name).shape();
        try {
            return TrainingPlan.builder(shape, new LearningRateSchedule.Constant(1e-4, 0))
                    .virtualRanks(dataParallel).globalBatch(dataParallel).sequence(SEQUENCE)
                    .precision(Precision.FP32).trainSteps(STEPS).build();
        } catch (IllegalArgumentException e) {
            throw CastaliaException.of(ErrorCode.CONFIG_INVALID, e);
        }
    }
}
