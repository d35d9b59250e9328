package castalia.deploy.command;

import castalia.deploy.train.DeviceChoice;
import picocli.CommandLine.Option;

/** What computes: a mixin. */
final class ComputeDevice {

    @Option(names = "--device", paramLabel = "DEVICE", defaultValue = "",
            description = "cpu, cuda (the machine's GPUs in turn) or cuda:N (default: cpu).")
    void device(String text) {
        DeviceChoice.choose(text);
    }
}
