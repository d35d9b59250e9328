package castalia.deploy.command;

import castalia.actors.NodeAddress;
import castalia.deploy.cluster.ClusterTraining;
import castalia.deploy.shell.CastaliaHome;
import castalia.deploy.shell.JsonOption;
import castalia.deploy.train.ConsoleListener;
import castalia.deploy.train.ProgressLine;
import castalia.deploy.train.StopSignal;
import castalia.deploy.train.TrainingJob;
import castalia.deploy.train.TrainingRun;
import castalia.protocol.CastaliaException;
import castalia.protocol.ErrorCode;
import castalia.protocol.run.RunResult;
import castalia.protocol.specification.TrainingPlan;
import java.io.PrintWriter;
import java.nio.file.Path;
import java.util.Locale;
import java.util.Optional;
import java.util.OptionalInt;
import java.util.concurrent.Callable;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.Spec;

/** {@code train}: begins a run or goes on with it. */
@Command(
        name = "train",
        description = {
            "Train a model from a GPT-NeoX configuration, or go on where the run stopped.",
            "The run's folder holds its specification, checkpoints and metrics.jsonl. SIGINT and SIGTERM",
            "finish the step, write a checkpoint and end; the same command goes on. The layout changes no",
            "bit of the result: any start may use another, and run reshard changes it while workers run."
        },
        footer = {
            "",
            "Examples:",
            "  ./castalia train --config pythia-70m.yml --run runs/70m",
            "  ./castalia train --config pythia-70m.yml --run runs/70m --ranks 2 --threads 2",
            "  ./castalia train --config pythia-70m.yml --run runs/70m --local 4 --spares 1",
            "  ./castalia train --config pythia-70m.yml --run runs/70m --local 4 --tp 2 --zero 2",
            "  ./castalia train --config pythia-70m.yml --run runs/tuned --init exported/step1000"
        })
final class TrainCommand implements Callable<Integer> {
    /** Stands for a number of workers that was not given. */
    private static final String BY_LAYOUT = "-2147483648";

    private final CastaliaHome home;

    @Spec
    @SuppressWarnings("NullAway.Init") // picocli fills it before anything runs
    private CommandSpec spec;

    @Mixin
    private JsonOption json = new JsonOption();

    @Option(names = "--config", required = true, paramLabel = "FILE",
            description = "GPT-NeoX YAML with one optional castalia: block.")
    @SuppressWarnings("NullAway.Init") // picocli requires it
    private Path config;

    @Option(names = "--run", required = true, paramLabel = "DIR", description = "The run's folder.")
    @SuppressWarnings("NullAway.Init") // picocli requires it
    private Path run;

    @Option(names = "--ranks", paramLabel = "N",
            description = "Ranks of this process (default: the file's, else 1).")
    private @Nullable Integer ranks;

    @Option(names = "--local", paramLabel = "N", arity = "0..1", fallbackValue = BY_LAYOUT,
            description = "Train on N worker processes of this machine instead of in this process, as a"
                    + " node with --spares, --host, --port and --page-port. Without N, on as many as"
                    + " --dp and --tp ask for.")
    private @Nullable Integer local;

    @Mixin
    private LayoutOptions layout = new LayoutOptions();

    @Mixin
    private NodeOptions node = new NodeOptions();

    @Option(names = "--init", paramLabel = "FOLDER",
            description = "Start a new run from the weights of a Hugging Face GPTNeoX folder.")
    private @Nullable Path initial;

    TrainCommand(CastaliaHome home) {
        this.home = home;
    }

    private record Report(String run, long step, boolean finished, String digest, String state) {}

    @Override
    public Integer call() {
        PrintWriter out = spec.commandLine().getOut();
        ProgressLine line = new ProgressLine(out, ProgressLine.onTerminal());
        return local == null ? inThisProcess(out, line) : onProcesses(out, line, workers(local));
    }

    private static OptionalInt workers(int given) {
        return given == Integer.MIN_VALUE ? OptionalInt.empty() : OptionalInt.of(given);
    }

    private Integer onProcesses(PrintWriter out, ProgressLine line, OptionalInt workers) {
        if (ranks != null) {
            throw new CastaliaException(ErrorCode.CONFIG_INVALID,
                    "--ranks and --local exclude each other: a worker process hosts one rank");
        }
        NodeAddress listen = node.listen();
        int pagePort = node.pagePort();
        Listening.warn(listen, spec.commandLine().getErr());
        try (ClusterTraining cluster = new ClusterTraining(line);
                TrainingJob job = TrainingJob.read(config, OptionalInt.of(Math.max(1, workers.orElse(1))),
                        node.threads(), Optional.ofNullable(initial), home)) {
            introduce(out, job);
            RunResult result = cluster.train(job,
                    new ClusterTraining.Request(config, run, Optional.ofNullable(initial), workers,
                            node.spares(), job.hosting().threads(), listen, pagePort,
                            layout.request()));
            Report report = switch (result) {
                case RunResult.Finished(long step, String state, String digest) ->
                        new Report(run.toString(), step, true, digest, state);
                case RunResult.Stopped(long step, String state) ->
                        new Report(run.toString(), step, false, "", state);
                case RunResult.Failed(ErrorCode code, String message) ->
                        throw new CastaliaException(code, message);
                case RunResult.Deposed(long newer) -> throw new CastaliaException(
                        ErrorCode.PEER_LOST, "another node leads the run since term " + newer);
            };
            tell(out, report);
        }
        return 0;
    }

    private void tell(PrintWriter out, Report report) {
        out.println(report.finished()
                ? "finished after step " + report.step()
                : "stopped after step " + report.step() + "; the same command goes on");
        out.println("state  " + report.state());
        if (!report.digest().isEmpty()) {
            out.println("digest " + report.digest());
        }
        json.printLast(out, report);
        out.flush();
    }

    private Integer inThisProcess(PrintWriter out, ProgressLine line) {
        try (StopSignal stop = new StopSignal(() -> line.say("stopping after this step"));
                TrainingJob job = TrainingJob.read(config, ranks(), node.threads(),
                        Optional.ofNullable(initial), home)) {
            introduce(out, job);
            ConsoleListener listener =
                    new ConsoleListener(line, job.specification().trainSteps(), false);
            try (TrainingRun training =
                    job.open(run, home, listener, ranks(), layout.request())) {
                TrainingRun.Outcome outcome = training.run(stop);
                line.end();
                tell(out, new Report(run.toString(), outcome.step(), outcome.finished(),
                        outcome.last().digest().hex(), outcome.last().stateHash()));
            }
            return 0;
        }
    }

    private OptionalInt ranks() {
        return ranks == null ? OptionalInt.empty() : OptionalInt.of(ranks);
    }

    private void introduce(PrintWriter out, TrainingJob job) {
        TrainingPlan plan = job.specification().plan();
        out.printf(Locale.ROOT, "%,d parameters, %s, %d steps of %d sequences of %d tokens%n",
                plan.model().parameters(), plan.precision().name().toLowerCase(Locale.ROOT),
                        plan.trainSteps(),
                plan.globalBatch(), plan.sequence());
        out.printf(Locale.ROOT, "%d virtual ranks, tensor slices %d, %d threads; run folder %s%n",
                plan.virtualRanks(), plan.tensorSlices(), job.hosting().threads(), run);
        out.flush();
    }
}
