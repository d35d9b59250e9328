package castalia.deploy.doctor;

import castalia.deploy.doctor.Finding.Level;

import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.file.FileAlreadyExistsException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.nio.file.attribute.PosixFilePermissions;
import java.util.Locale;
import java.util.concurrent.TimeUnit;

/** What the doctor asks of folders. Every file it makes is removed again. */
final class StorageProbe {
    private static final long MEGABYTE = 1L << 20;
    private static final long WRITTEN = 64 * MEGABYTE;
    private static final long FREE_NEEDED = 512 * MEGABYTE;
    private static final long FREE_WANTED = 5 * 1024 * MEGABYTE;
    private static final double SPEED_WANTED = 50;

    private StorageProbe() {}

    /** Space in {@code folder} and the speed of one 64 MB file with fsync. */
    static Finding disk(Path folder) {
        Path file = folder.resolve("doctor-" + ProcessHandle.current().pid() + ".bin");
        try {
            Files.createDirectories(folder);
            long free = Files.getFileStore(folder).getUsableSpace();
            if (free < FREE_NEEDED) {
                return Finding.fail(
                        "disk",
                        gigabytes(free) + " free in " + folder,
                        "make room; 5 GB are comfortable");
            }
            double speed = writeSpeed(file);
            String value =
                    String.format(
                            Locale.ROOT,
                            "%s free in %s, writes %.0f MB/s",
                            gigabytes(free),
                            folder,
                            speed);
            if (free < FREE_WANTED) {
                return Finding.warn(
                        "disk",
                        value,
                        "checkpoints of larger models need more; 5 GB are comfortable");
            } else if (speed < SPEED_WANTED) {
                return Finding.warn("disk", value, "checkpoints will be slow");
            }
            return Finding.ok("disk", value);
        } catch (IOException e) {
            return Finding.fail(
                    "disk",
                    "cannot write in " + folder + ": " + reason(e),
                    "check space and rights");
        } finally {
            remove(file);
        }
    }

    private static double writeSpeed(Path file) throws IOException {
        ByteBuffer block = ByteBuffer.allocateDirect((int) MEGABYTE);
        long began = System.nanoTime();
        try (FileChannel channel =
                FileChannel.open(
                        file,
                        StandardOpenOption.CREATE,
                        StandardOpenOption.TRUNCATE_EXISTING,
                        StandardOpenOption.WRITE)) {
            for (long written = 0; written < WRITTEN; written += MEGABYTE) {
                block.clear();
                while (block.hasRemaining()) {
                    channel.write(block);
                }
            }
            channel.force(true);
        }
        double seconds = Math.max(1e-9, (System.nanoTime() - began) / 1e9);
        return WRITTEN / 1e6 / seconds;
    }

    /** Whether a program can be run from {@code folder}: native libraries are loaded from there. */
    static Finding executable(Path folder) {
        Path script = folder.resolve("doctor-" + ProcessHandle.current().pid() + ".sh");
        String what = "native libraries";
        String advice = "mount it without noexec, or put Castalia on another file system";
        try {
            Files.createDirectories(folder);
            Files.writeString(script, "#!/bin/sh\nexit 0\n");
            Files.setPosixFilePermissions(script, PosixFilePermissions.fromString("rwx------"));
            Process process =
                    new ProcessBuilder(script.toString())
                            .redirectErrorStream(true)
                            .redirectOutput(ProcessBuilder.Redirect.DISCARD)
                            .start();
            boolean ended = process.waitFor(10, TimeUnit.SECONDS);
            if (!ended) {
                process.destroyForcibly();
            }
            if (ended && process.exitValue() == 0) {
                return Finding.ok(what, "can be loaded from " + folder);
            }
            return Finding.fail(what, "a program in " + folder + " does not run", advice);
        } catch (IOException e) {
            return Finding.fail(what, "cannot be loaded from " + folder + ": " + reason(e), advice);
        } catch (InterruptedException _) {
            Thread.currentThread().interrupt();
            return Finding.warn(what, "interrupted while looking", "run doctor again");
        } finally {
            remove(script);
        }
    }

    /**
     * Whether {@code folder} can hold the exclusive records of a run: link(2) must refuse an
     * existing name, and the folder must take an fsync.
     */
    static Finding hardLinks(Path folder) {
        String what = "run folder";
        String own = "doctor-" + ProcessHandle.current().pid();
        Path first = folder.resolve(own + ".a");
        Path second = folder.resolve(own + ".b");
        Path record = folder.resolve(own + ".record");
        try {
            Files.createDirectories(folder);
            Files.writeString(first, "a");
            Files.writeString(second, "b");
            Files.createLink(record, first);
            boolean refused = false;
            try {
                Files.createLink(record, second);
            } catch (FileAlreadyExistsException _) {
                refused = true;
            }
            if (!refused || !Files.readString(record).equals("a")) {
                return Finding.fail(
                        what,
                        folder + " let a second writer take a name",
                        "use another file system");
            }
            try (FileChannel directory = FileChannel.open(folder, StandardOpenOption.READ)) {
                directory.force(true);
            }
            return Finding.ok(what, folder + " keeps exclusive records (hard links, fsync)");
        } catch (UnsupportedOperationException | IOException e) {
            String value = folder + " cannot keep exclusive records: " + reason(e);
            return new Finding(
                    Level.FAIL, what, value, "hard links are needed; choose a POSIX file system");
        } finally {
            remove(first);
            remove(second);
            remove(record);
        }
    }

    static String gigabytes(long bytes) {
        return String.format(Locale.ROOT, "%.1f GB", bytes / 1e9);
    }

    private static String reason(Exception e) {
        return e.getClass().getSimpleName() + " " + e.getMessage();
    }

    private static void remove(Path file) {
        try {
            Files.deleteIfExists(file);
        } catch (IOException _) {
            file.toFile().deleteOnExit();
        }
    }
}
