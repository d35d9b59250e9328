package castalia.deploy.command;

import castalia.deploy.parity.Parity;
import castalia.deploy.parity.ParityFixture;
import castalia.deploy.parity.ParityRow;
import castalia.deploy.shell.CastaliaHome;
import castalia.deploy.shell.JsonOption;
import castalia.deploy.train.Hosting;
import castalia.deploy.train.Wiring;
import castalia.kernels.Device;
import castalia.kernels.reference.ReferenceDevice;
import castalia.protocol.CastaliaException;
import castalia.protocol.ErrorCode;
import castalia.protocol.layout.ParallelLayout;
import castalia.protocol.planner.Recomputation;
import java.io.IOException;
import java.io.PrintWriter;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.Callable;
import java.util.function.IntFunction;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;
import picocli.CommandLine.Spec;

/** {@code parity}: compares training with what another implementation computed. */
@Command(
        name = "parity",
        description = {
            "Compare with a fixture folder: logits, every gradient, each loss and norm, final weights.",
            "A fixture holds config.json, model.safetensors and what another implementation computed.",
            "Exit code 1 if a difference is beyond its bound."
        },
        footer = {
            "",
            "Examples:",
            "  ./castalia parity deploy/src/test/resources/parity/neox-tiny",
            "  ./castalia parity DIR --tensor-slices 2 --virtual-ranks 2 --ranks 2",
            "  ./castalia parity DIR --tp 2 --zero 2"
        })
final class ParityCommand implements Callable<Integer> {
    private final CastaliaHome home;

    @Spec
    @SuppressWarnings("NullAway.Init") // picocli fills it before anything runs
    private CommandSpec spec;

    @Mixin
    private JsonOption json = new JsonOption();

    @Mixin
    @SuppressWarnings("UnusedVariable") // picocli calls it
    private ComputeDevice device = new ComputeDevice();

    @Parameters(paramLabel = "DIR", description = "The fixture folder.")
    @SuppressWarnings("NullAway.Init") // picocli requires it
    private Path folder;

    @Option(names = "--tensor-slices", paramLabel = "T",
            description = "Tensor slices (default: as many as --tp).")
    private int tensorSlices;

    @Option(names = "--virtual-ranks", paramLabel = "V", description = "Virtual ranks (default 1).")
    private int virtualRanks = 1;

    @Option(names = {"--ranks", "--dp"}, paramLabel = "D",
            description = "Data-parallel ranks, all in this process (default 1).")
    private int ranks = 1;

    @Option(names = "--tp", paramLabel = "N",
            description = "Ranks that divide each of them, a power of two (default 1).")
    private int tensorParallel = 1;

    @Option(names = "--zero", paramLabel = "STAGE", description = "ZeRO stage (default 1).")
    private int zero = 1;

    @Option(names = "--threads", paramLabel = "N", description = "Computing threads (default 1).")
    private int threads = 1;

    @Option(names = "--recompute", description = "Compute blocks again in the backward pass.")
    private boolean recompute;

    @Option(names = "--reference", description = "Use the plain reference kernels.")
    private boolean reference;

    ParityCommand(CastaliaHome home) {
        this.home = home;
    }

    private record Report(boolean holds, List<ParityRow> rows) {}

    @Override
    public Integer call() {
        PrintWriter out = spec.commandLine().getOut();
        Recomputation recomputation = recompute ? Recomputation.BLOCK : Recomputation.NONE;
        Parity.Options options = new Parity.Options(
                tensorSlices == 0 ? tensorParallel : tensorSlices, virtualRanks, layout(),
                recomputation);
        IntFunction<Device> devices = reference
                ? _ -> new ReferenceDevice()
                : Wiring.devices(
                        new Hosting(options.layout().ranks(), threads, recomputation), home);
        List<ParityRow> all = new ArrayList<>();
        for (ParityFixture fixture : ParityFixture.read(folder)) {
            out.printf("%s (%s, gelu %s)%n", folder.getFileName(),
                    fixture.shape().parallelResidual() ? "parallel residual" : "sequential residual",
                    fixture.shape().gelu().name().toLowerCase(java.util.Locale.ROOT));
            out.printf("  %-74s %12s %12s  %s%n", "", "absolute", "relative", "bound");
            for (ParityRow row : compare(fixture, devices, options)) {
                out.printf("  %-74s %12.3e %12.3e  %.0e %s %s%n", row.name(), row.absolute(),
                        row.relative(), row.bound(), row.boundIsAbsolute() ? "abs" : "rel",
                        row.holds() ? "ok" : "BEYOND");
                all.add(row);
            }
        }
        long beyond = all.stream().filter(row -> !row.holds()).count();
        out.printf("%d compared, %d beyond their bound%n", all.size(), beyond);
        json.printLast(out, new Report(beyond == 0, all));
        return beyond == 0 ? 0 : 1;
    }

    private ParallelLayout layout() {
        try {
            return new ParallelLayout(ranks, tensorParallel, zero, 1);
        } catch (IllegalArgumentException e) {
            throw new CastaliaException(
                    ErrorCode.CONFIG_INVALID, "no such layout: " + e.getMessage(), e);
        }
    }

    private static List<ParityRow> compare(
            ParityFixture fixture, IntFunction<Device> devices, Parity.Options options) {
        try {
            return Parity.compare(fixture, options, devices);
        } catch (IOException e) {
            throw CastaliaException.of(ErrorCode.DATA_CORRUPT, e);
        }
    }
}
