package castalia.deploy.command;

import castalia.checkpoints.RunFolder;
import castalia.deploy.shell.JsonOption;
import castalia.deploy.shell.Storage;
import castalia.deploy.status.LayoutWait;
import castalia.deploy.status.RunStatus;
import castalia.deploy.status.StatusFile;
import castalia.deploy.train.LayoutChoice;
import castalia.deploy.train.MachineMemory;
import castalia.protocol.CastaliaException;
import castalia.protocol.ErrorCode;
import castalia.protocol.layout.LayoutRequest;
import castalia.protocol.layout.LayoutWish;
import castalia.protocol.specification.RunSpecification;
import castalia.workers.exchange.socket.SocketSettings;
import java.io.IOException;
import java.io.PrintWriter;
import java.nio.file.Path;
import java.util.List;
import java.util.Locale;
import java.util.Optional;
import java.util.stream.Stream;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;
import picocli.CommandLine.Spec;

/** {@code run}: looks at a run that another process trains, and asks it for things. */
@Command(
        name = "run",
        description = "Look at a run that trains, and change its layout.",
        footer = {
            "",
            "Examples:",
            "  ./castalia run status runs/70m",
            "  ./castalia run reshard runs/70m --dp 4 --tp 1 --zero 2",
            "  ./castalia run reshard runs/70m --tp 2 --wait 0"
        })
final class RunCommand {
    private static final int LONGEST_WAIT = 86_400;
    private static final long LOOK_MILLIS = 100;

    @Spec
    @SuppressWarnings("NullAway.Init") // picocli fills it before anything runs
    private CommandSpec spec;

    /**
     * What {@code reshard} ends with.
     *
     * @param outcome runs, fewer-workers, not-yet, next-start or asked
     * @param seconds from the question to the answer
     */
    private record Resharded(
            String outcome, LayoutWish wish, double seconds, @Nullable RunStatus status) {}

    /**
     * What {@code status} ends with.
     *
     * @param checkpoint step of the newest checkpoint, -1 for none
     * @param wish layout asked for last
     * @param leader the process that trains
     * @param status what it says, if anything
     */
    private record Seen(
            String run, long steps, long checkpoint, @Nullable LayoutWish wish, @Nullable String leader,
            @Nullable RunStatus status) {}

    @Command(name = "status", description = {
        "What a run does now: layout, generation, members, step, newest checkpoint."})
    int status(
            @Parameters(paramLabel = "RUN", description = "The run's folder.") Path run,
            @Mixin JsonOption asJson) {
        PrintWriter out = spec.commandLine().getOut();
        Seen seen = Storage.attempt(() -> {
            try (RunFolder folder = RunFolder.openToRead(run)) {
                List<Long> steps = folder.catalogue().steps();
                Optional<String> leader = folder.leader();
                return new Seen(folder.identity().shortId(), folder.specification().trainSteps(),
                        steps.isEmpty() ? -1 : steps.getLast(),
                        folder.layouts().newest().orElse(null), leader.orElse(null),
                        current(run, leader).orElse(null));
            }
        });
        out.printf(Locale.ROOT, "run         %s, %d steps%n", seen.run(), seen.steps());
        out.println("trained by  " + (seen.leader() == null ? "nobody" : seen.leader()));
        if (seen.status() != null) {
            tell(out, seen.status());
        }
        out.println("wanted      " + (seen.wish() == null
                ? "no layout was asked for" : seen.wish().words()));
        out.println("checkpoint  " + (seen.checkpoint() < 0 ? "none" : "step " + seen.checkpoint()));
        asJson.printLast(out, seen);
        out.flush();
        return 0;
    }

    private static void tell(PrintWriter out, RunStatus now) {
        out.printf(Locale.ROOT, "phase       %s, step %d; said %.1f s ago%n", now.phase(), now.step(),
                (System.currentTimeMillis() - now.writtenMillis()) * 1e-3);
        out.println("layout      " + (now.layout() == null ? "-" : now.layout())
                + (now.oneProcess() ? " in one process" : ", generation " + now.generation()));
        out.println("members     " + String.join(" ", now.members()));
        if (!now.waiting().isEmpty()) {
            out.println("waiting     " + String.join(" ", now.waiting()));
        }
        if (!now.page().isEmpty()) {
            out.println("page        " + now.page());
        }
    }

    /** What the process that trains says; what another said before is over. */
    private static Optional<RunStatus> current(Path run, Optional<String> leader) throws IOException {
        return new StatusFile(RunFolder.status(run)).read()
                .filter(status -> leader.filter(status.leader()::equals).isPresent());
    }

    @Command(name = "reshard", description = {
        "Change the layout of a run at its next step boundary; no bit of its result changes.",
        "What is not named stays; with another --tp and no --dp there are as many replicas as workers",
        "allow. Exit code 1 if workers train and the layout does not run when the wait is over."})
    int reshard(
            @Parameters(paramLabel = "RUN", description = "The run's folder.") Path run,
            @Mixin LayoutOptions layout,
            @Option(names = "--wait", paramLabel = "SECONDS", defaultValue = "120",
                    description = "How long to wait until it runs (default: 120; 0 only asks).")
                    int wait,
            @Mixin JsonOption asJson) {
        PrintWriter out = spec.commandLine().getOut();
        LayoutRequest request = layout.request();
        if (request.isEmpty()) {
            throw new CastaliaException(ErrorCode.CONFIG_INVALID,
                    "no layout is named: use at least one of --dp, --tp, --zero and --buddies");
        }
        if (wait < 0 || wait > LONGEST_WAIT) {
            throw new CastaliaException(ErrorCode.CONFIG_INVALID,
                    "--wait " + wait + " must lie between 0 and " + LONGEST_WAIT + " seconds");
        }
        long start = System.nanoTime();
        LayoutWish wish;
        LayoutWait end;
        String before;
        try (RunFolder folder = Storage.attempt(() -> RunFolder.openToRead(run))) {
            before = Storage.attempt(() -> current(run, folder.leader()))
                    .map(RunStatus::generation).orElse("");
            wish = Storage.attempt(() -> {
                LayoutWish asked = LayoutChoice.over(request,
                        folder.layouts().newest().orElse(LayoutWish.USUAL), folder.specification());
                current(run, folder.leader())
                        .ifPresent(status -> requireMemory(asked, status, folder.specification()));
                folder.layouts().ask(asked);
                return asked;
            });
            out.println("asked       for " + wish.words());
            out.flush();
            end = await(folder, wish, start + wait * 1_000_000_000L);
        } catch (IOException e) {
            throw new CastaliaException(ErrorCode.STORAGE_FAILED, String.valueOf(e.getMessage()), e);
        }
        double seconds = (System.nanoTime() - start) * 1e-9;
        Resharded result = switch (end) {
            case LayoutWait.Runs(RunStatus now) -> {
                runs(out, now, seconds, now.generation().equals(before));
                yield new Resharded("runs", wish, seconds, now);
            }
            case LayoutWait.Fewer(RunStatus now) -> {
                out.println("fewer       there are " + (now.members().size() + now.waiting().size())
                        + " workers: " + now.layout() + " runs instead, generation "
                        + now.generation() + ", until others join");
                yield new Resharded("fewer-workers", wish, seconds, now);
            }
            case LayoutWait.NobodyLeads() -> {
                out.println("nobody      trains in " + run + " now: its next start takes this layout,"
                        + " unless it names another");
                yield new Resharded("next-start", wish, seconds, null);
            }
            case LayoutWait.OneProcess(String leader) -> {
                out.println("one process trains this run (" + leader + ") and keeps its layout: the"
                        + " next start takes this one, unless it names another");
                yield new Resharded("next-start", wish, seconds, null);
            }
            case LayoutWait.Waiting(String why) -> {
                out.println(wait == 0 ? "not waited for" : "not yet     after " + wait + " s: " + why
                        + "; the run still takes it when it can");
                yield new Resharded(wait == 0 ? "asked" : "not-yet", wish, seconds, null);
            }
        };
        asJson.printLast(out, result);
        out.flush();
        return List.of("fewer-workers", "not-yet").contains(result.outcome()) ? 1 : 0;
    }

    /** Where all workers share the leader's machine, whose memory is known. */
    private static void requireMemory(
            LayoutWish wish, RunStatus status, RunSpecification specification) {
        RunStatus.Machine machine = status.machine();
        int workers = status.members().size() + status.waiting().size();
        if (machine == null || workers == 0
                || !Stream.concat(status.members().stream(), status.waiting().stream())
                        .allMatch(worker -> worker.endsWith("@" + machine.node()))) {
            return;
        }
        int ranks = wish.ranks() > 0 ? Math.min(wish.ranks(), workers) : workers;
        MachineMemory.require(specification.plan(),
                machine.recomputation(),
                wish.fit(ranks, specification.virtualRanks()),
                SocketSettings.Bounds.DEFAULT.earlyBytes(), machine.memoryBytes());
    }

    private static void runs(PrintWriter out, RunStatus now, double seconds, boolean already) {
        out.println("runs        " + now.layout() + ", generation " + now.generation() + ": "
                + String.join(" ", now.members()));
        RunStatus.Change change = now.change();
        if (already || change == null) {
            out.println("it ran already");
        } else {
            out.printf(Locale.ROOT, "            %.1f s after it was asked for; from step %d, %d ms"
                    + " after the fence, %,d bytes of state moved between workers%n", seconds,
                    change.step(), change.stillMillis(), change.movedBytes());
        }
    }

    private static LayoutWait await(RunFolder folder, LayoutWish wish, long end) {
        while (true) {
            LayoutWait now = Storage.attempt(() -> LayoutWait.of(wish, folder.leader(),
                    new StatusFile(RunFolder.status(folder.path())).read()));
            if (!(now instanceof LayoutWait.Waiting) || System.nanoTime() - end >= 0) {
                return now;
            }
            try {
                Thread.sleep(LOOK_MILLIS);
            } catch (InterruptedException e) {
                Thread.currentThread().interrupt();
                return now;
            }
        }
    }
}
