package castalia.deploy.command;

import castalia.deploy.bench.DeviceSpeed;
import castalia.deploy.shell.CastaliaHome;
import castalia.deploy.shell.Quantity;
import castalia.deploy.train.DeviceChoice;
import castalia.deploy.train.Hosting;
import castalia.deploy.train.MachineMemory;
import castalia.protocol.CastaliaException;
import castalia.protocol.ErrorCode;
import castalia.protocol.planner.Devices;
import castalia.protocol.planner.LayoutPlanner;
import castalia.protocol.planner.Recomputation;
import castalia.protocol.planner.Workload;
import castalia.protocol.specification.TrainingPlan;
import castalia.workers.exchange.socket.SocketSettings;
import java.util.Locale;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;

/** The devices to plan for: a mixin. */
final class DeviceOptions {
    /** What an A100 reaches in training, in round numbers; its links inside and between nodes. */
    private static final double OTHER_FLOPS = 100e12;
    private static final double OTHER_NODE_LINK = 300e9;
    private static final double OTHER_LINK = 25e9;
    private static final int OTHER_PER_NODE = 8;

    /** Between processes of one machine. */
    private static final double LOCAL_LINK = 4e9;

    @Mixin
    @SuppressWarnings("UnusedVariable") // picocli calls it
    private ComputeDevice device = new ComputeDevice();

    @Option(names = "--devices", paramLabel = "N",
            description = "How many devices (default: the processors of this machine, or its GPUs).")
    private @Nullable Integer asked;

    @Option(names = "--device-memory", paramLabel = "SIZE",
            description = "Memory of a device, as 80GiB (default: an equal share of this machine's, or"
                    + " what its GPUs have for tensors).")
    private @Nullable String memory;

    @Option(names = "--devices-per-node", paramLabel = "N",
            description = "Devices of a node (default: 8; all of them on this machine).")
    private @Nullable Integer perNode;

    @Option(names = "--flops", paramLabel = "RATE",
            description = "Operations per second of a device as training reaches them, as 100T (default:"
                    + " 100T; products measured on this machine).")
    private @Nullable String flops;

    @Option(names = "--node-link", paramLabel = "RATE",
            description = "Bytes per second of a device within its node (default: 300GB/s; 4GB/s here).")
    private @Nullable String nodeLink;

    @Option(names = "--link", paramLabel = "RATE",
            description = "Bytes per second of a device to other nodes (default: 25GB/s).")
    private @Nullable String link;

    /**
     * The devices, and how they came to be.
     *
     * @param devices the devices
     * @param description for people
     */
    record Chosen(Devices devices, String description) {}

    int count(CastaliaHome home) {
        int count = asked != null ? asked
                : ofGpus() ? gpus(home) : Runtime.getRuntime().availableProcessors();
        if (count < 1 || count > Devices.MOST) {
            throw new CastaliaException(ErrorCode.CONFIG_INVALID,
                    "--devices " + count + " must lie between 1 and " + Devices.MOST);
        }
        return count;
    }

    private boolean ofGpus() {
        return memory == null && DeviceChoice.ofProcess().cuda();
    }

    /** Bytes of one device, or of all of them together where they share this machine's. */
    private long bytes(int count) {
        return memory != null ? Quantity.bytes("--device-memory", memory)
                : ofGpus() ? new Hosting(count, 1, Recomputation.NONE).usableBytes()
                        : MachineMemory.usableBytes();
    }

    private long earlyBytes() {
        return ofGpus() ? 0 : SocketSettings.Bounds.DEFAULT.earlyBytes();
    }

    /** As little as the configuration's {@code auto} computes again on such a device. */
    Recomputation fitting(TrainingPlan plan, CastaliaHome home) {
        int count = count(home);
        return MachineMemory.fitting(
                plan, memory == null ? bytes(count) / count : bytes(count), earlyBytes());
    }

    private static int gpus(CastaliaHome home) {
        return DeviceChoice.ofProcess().ordinal().isPresent() ? 1 : DeviceChoice.all(home).size();
    }

    Chosen choose(Workload work, CastaliaHome home) {
        boolean here = memory == null;
        int count = count(home);
        long bytes = bytes(count);
        double rate = flops != null ? Quantity.flops("--flops", flops)
                : here ? DeviceSpeed.flops(work.plan(), count, home) : OTHER_FLOPS;
        double inside = nodeLink != null ? Quantity.bytesPerSecond("--node-link", nodeLink)
                : here && !ofGpus() ? LOCAL_LINK : OTHER_NODE_LINK;
        double between = link != null ? Quantity.bytesPerSecond("--link", link) : OTHER_LINK;
        int together = perNode != null ? perNode : here ? count : OTHER_PER_NODE;
        if (together < 1) {
            throw new CastaliaException(ErrorCode.CONFIG_INVALID,
                    "--devices-per-node " + together + " must be at least 1");
        }
        Devices devices =
                new Devices(count, together, bytes, here, earlyBytes(), rate, inside, between);
        return new Chosen(devices, String.format(Locale.ROOT,
                "%d %s %s, %d a node; %.4g TFLOP/s%s, %.4g GB/s in a node%s, %.4g GB/s between%s",
                count, here ? "ranks that share" : "devices of",
                LayoutPlanner.text(bytes) + (ofGpus() ? " of GPU memory" : ""), together,
                rate * 1e-12, flops != null ? "" : here ? " (products measured)" : " (assumed)",
                inside * 1e-9, nodeLink != null ? "" : " (assumed)", between * 1e-9,
                link != null ? "" : " (assumed)"));
    }
}
