package castalia.kernels.natives;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;

/** Names the processes of one machine that see each other, by what the kernel says. */
public final class ProcessSpace {

    private ProcessSpace() {}

    /** Boot and namespaces of this process; a name that nobody else has where that cannot be read. */
    public static String name() {
        try {
            return Files.readString(Path.of("/proc/sys/kernel/random/boot_id")).strip() + " "
                    + Files.readSymbolicLink(Path.of("/proc/self/ns/pid")) + " "
                    + Files.readSymbolicLink(Path.of("/proc/self/ns/ipc"));
        } catch (IOException | SecurityException e) {
            return "process " + ProcessHandle.current().pid() + " that cannot read /proc: " + e;
        }
    }
}
