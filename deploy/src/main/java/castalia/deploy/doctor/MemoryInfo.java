package castalia.deploy.doctor;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.OptionalLong;

/**
 * Memory of this machine and, in a container or a batch job, what of it may be used.
 *
 * @param totalBytes of the machine
 * @param availableBytes free or reclaimable now
 * @param limitBytes the tightest limit of the control groups this process is in, if there is one
 */
public record MemoryInfo(long totalBytes, long availableBytes, OptionalLong limitBytes) {
    /** Reads the files of Linux under {@code root}, which is "/" outside tests. */
    public static MemoryInfo read(Path root) throws IOException {
        List<String> lines = Files.readAllLines(root.resolve("proc/meminfo"));
        long total = kilobytes(lines, "MemTotal:");
        long available = kilobytes(lines, "MemAvailable:");
        long limit = limitOfGroups(root);
        return new MemoryInfo(
                total, available, limit < total ? OptionalLong.of(limit) : OptionalLong.empty());
    }

    /** What a run may use at most. */
    public long usableBytes() {
        return Math.min(availableBytes, limitBytes.orElse(Long.MAX_VALUE));
    }

    private static long kilobytes(List<String> lines, String key) {
        for (String line : lines) {
            if (line.startsWith(key)) {
                return Long.parseLong(line.substring(key.length()).replace("kB", "").strip())
                        * 1024;
            }
        }
        return 0;
    }

    /**
     * Version 2 has one tree and "0::/path"; version 1 has a tree for memory and "5:memory:/path".
     */
    private static long limitOfGroups(Path root) throws IOException {
        Path groups = root.resolve("proc/self/cgroup");
        long limit = Long.MAX_VALUE;
        if (!Files.isReadable(groups)) {
            return limit;
        }
        for (String line : Files.readAllLines(groups)) {
            List<String> parts = List.of(line.split(":", 3));
            if (parts.size() < 3) {
                continue;
            }
            if (parts.get(0).equals("0") && parts.get(1).isEmpty()) {
                limit =
                        Math.min(
                                limit,
                                tightest(
                                        root.resolve("sys/fs/cgroup"), parts.get(2), "memory.max"));
            } else if (List.of(parts.get(1).split(",", -1)).contains("memory")) {
                limit =
                        Math.min(
                                limit,
                                tightest(
                                        root.resolve("sys/fs/cgroup/memory"),
                                        parts.get(2),
                                        "memory.limit_in_bytes"));
            }
        }
        return limit;
    }

    /**
     * The smallest limit from the group {@code path} up to the top; inside a container only the top
     * may be seen.
     */
    private static long tightest(Path top, String path, String file) throws IOException {
        long limit = Long.MAX_VALUE;
        Path group = top.resolve(path.replaceFirst("^/+", "")).normalize();
        while (group != null && group.startsWith(top)) {
            Path at = group.resolve(file);
            if (Files.isReadable(at)) {
                String text = Files.readString(at).strip();
                if (text.matches("[0-9]{1,18}")) {
                    limit = Math.min(limit, Long.parseLong(text));
                }
            }
            group = group.getParent();
        }
        return limit;
    }
}
