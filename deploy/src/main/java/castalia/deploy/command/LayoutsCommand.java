package castalia.deploy.command;

import castalia.deploy.shell.CastaliaHome;
import castalia.deploy.shell.JsonOption;
import castalia.protocol.CastaliaException;
import castalia.protocol.ErrorCode;
import castalia.protocol.layout.ParallelLayout;
import castalia.protocol.planner.LayoutEstimate;
import castalia.protocol.planner.LayoutPlanner;
import castalia.protocol.planner.Workload;
import java.io.PrintWriter;
import java.util.List;
import java.util.concurrent.Callable;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.Spec;

/** {@code layouts}: what fits on given devices, and what it costs. */
@Command(
        name = "layouts",
        description = {
            "List the parallel layouts of a model that fit on given devices, and what each costs.",
            "A layout is D x t: D replicas of t ranks each, a ZeRO stage, and buddies (b). It shows the",
            "memory of the fullest rank part by part, the bytes of the busiest rank per step, and an",
            "estimated time. Without --device-memory the devices are ranks of this machine: its processors,",
            "or with --device cuda its GPUs, less 1 GiB for each process. The memory of the Java process",
            "itself comes on top."
        },
        footer = {
            "",
            "Examples:",
            "  ./castalia layouts --model pythia-6.9b --devices 64 --device-memory 80GiB",
            "  ./castalia layouts --model pythia-12b --devices 256 --device-memory 40GiB --tp 4",
            "  ./castalia layouts --config pythia-70m.yml --devices 2 --json",
            "  ./castalia layouts --model pythia-2.8b --device cuda"
        })
final class LayoutsCommand implements Callable<Integer> {
    private static final int NEAREST = 5;

    private final CastaliaHome home;

    @Spec
    @SuppressWarnings("NullAway.Init") // picocli fills it before anything runs
    private CommandSpec spec;

    @Mixin
    private JsonOption json = new JsonOption();

    @Mixin
    private WorkloadOptions workload = new WorkloadOptions();

    @Mixin
    private DeviceOptions devices = new DeviceOptions();

    @Option(names = "--dp", paramLabel = "D", description = "Only layouts with D replicas.")
    private @Nullable Integer dataParallel;

    @Option(names = "--tp", paramLabel = "t", description = "Only layouts with t ranks a replica.")
    private @Nullable Integer tensorParallel;

    @Option(names = "--zero", paramLabel = "S", description = "Only layouts of ZeRO stage S.")
    private @Nullable Integer zero;

    @Option(names = "--buddies", paramLabel = "B", description = "Only layouts with B buddies.")
    private @Nullable Integer buddies;

    @Option(names = "--rows", paramLabel = "N", defaultValue = "12",
            description = "Layouts shown, the fastest first (default: 12); JSON has all.")
    private int rows;

    LayoutsCommand(CastaliaHome home) {
        this.home = home;
    }

    /** The JSON line. */
    @SuppressWarnings("MemberName") // the names of the JSON line
    private record Report(
            String workload, Object devices, List<LayoutEstimate> fitting,
            List<LayoutEstimate> too_large) {}

    @Override
    public Integer call() {
        PrintWriter out = spec.commandLine().getOut();
        Workload work = workload.workload(devices, home);
        DeviceOptions.Chosen chosen = devices.choose(work, home);
        out.println(workload.description(work));
        out.println(chosen.description());
        LayoutPlanner planner = new LayoutPlanner(work, chosen.devices());
        LayoutPlanner.Offer offer = planner.offer(wanted(planner));
        LayoutTable.print(out, offer.fitting().stream().limit(Math.max(0, rows)).toList());
        if (offer.fitting().size() > rows) {
            out.println("and " + (offer.fitting().size() - rows) + " more that fit (--rows)");
        }
        for (LayoutEstimate estimate : offer.tooLarge().stream().limit(NEAREST).toList()) {
            out.println("does not fit: " + LayoutTable.name(estimate.layout()) + " needs "
                    + LayoutPlanner.text(estimate.memory().total()) + ", "
                    + LayoutPlanner.text(estimate.excessBytes()) + " too much");
        }
        json.printLast(out, new Report(workload.description(work), chosen.devices(),
                offer.fitting(), offer.tooLarge()));
        out.flush();
        if (offer.fitting().isEmpty()) {
            throw new CastaliaException(ErrorCode.OUT_OF_MEMORY,
                    "none of these layouts fits; " + planner.whatFits());
        }
        return 0;
    }

    /** The candidates, or with --dp those with as many replicas, whatever their use. */
    private List<ParallelLayout> wanted(LayoutPlanner planner) {
        List<ParallelLayout> all =
                dataParallel == null ? planner.candidates() : planner.candidates(dataParallel);
        List<ParallelLayout> some = all.stream()
                .filter(l -> tensorParallel == null || l.tensorParallel() == tensorParallel)
                .filter(l -> zero == null || l.zero() == zero)
                .filter(l -> buddies == null || l.buddies() == buddies)
                .toList();
        if (some.isEmpty()) {
            throw new CastaliaException(ErrorCode.CONFIG_INVALID, "no layout is like that on "
                    + devices.count(home) + " devices: --tp must be a power of two that divides T, --dp times"
                    + " --tp at most the devices, --zero 0 to 3, --buddies 0 to 2 and less than the"
                    + " ranks (0 with --zero 0)");
        }
        return some;
    }
}
