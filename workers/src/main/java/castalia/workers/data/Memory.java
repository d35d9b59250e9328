package castalia.workers.data;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;

/** Refuses arrays that the machine has no memory for, before the system kills somebody for them. */
final class Memory {
    private static final long LARGE_BYTES = 256L << 20;
    private static final Path MEMORY = Path.of("/proc/meminfo");

    private Memory() {}

    /**
     * Checks a large request against what the system calls available; where that is not known,
     * nothing is refused.
     */
    static void require(long bytes, String what) {
        if (bytes < LARGE_BYTES) {
            return;
        }
        long available = available();
        if (bytes > available) {
            throw new DataException(what + " needs " + bytes + " bytes of memory, " + available
                    + " are available; use a machine with more memory, or ask for fewer samples");
        }
    }

    private static long available() {
        try {
            for (String line : Files.readAllLines(MEMORY)) {
                if (line.startsWith("MemAvailable:")) {
                    return Long.parseLong(line.replaceAll("\\D", "")) * 1024;
                }
            }
        } catch (IOException | NumberFormatException _) {
            return Long.MAX_VALUE;
        }
        return Long.MAX_VALUE;
    }
}
