package castalia.deploy.train;

import castalia.deploy.Cli;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.List;
import java.util.concurrent.TimeUnit;
import java.util.stream.Stream;

/**
 * A process of its own that trains with little room, then with enough, again and again. Arguments:
 * how room is taken, the folder, the configuration, and the bytes to leave for each trial. Prints a
 * line for each: bytes, exit code, standard error, temporary files left, exit code of the
 * verification, exit code and digest of the same command once there is room; separated by tabs.
 */
final class SmallDisk {

    /** How there comes to be too little room. */
    enum Kind {
        /** The folder is a small file system of its own; the rest of it is filled. */
        FULL_FILE_SYSTEM,
        /** No file may become longer than that. */
        FILE_SIZE_LIMIT
    }

    private final Kind kind;
    private final Path folder;
    private final Path filler;

    private SmallDisk(Kind kind, Path folder) {
        this.kind = kind;
        this.folder = folder;
        this.filler = folder.resolve("filler");
    }

    public static void main(String[] args) throws IOException, InterruptedException {
        SmallDisk disk = new SmallDisk(Kind.valueOf(args[0]), Path.of(args[1]));
        for (String bytes : List.of(args).subList(3, args.length)) {
            System.out.println("trial\t" + disk.trial(args[2], Long.parseLong(bytes)));
        }
    }

    private String trial(String config, long bytes) throws IOException, InterruptedException {
        Path run = folder.resolve("run-" + bytes);
        leave(bytes);
        Cli.Result full = Cli.run("train", "--config", config, "--run", run);
        long temporary = temporaryFiles();
        give();
        Cli.Result verified = full.code() == 0 || !Files.exists(run.resolve("specification"))
                ? null
                : Cli.run("checkpoint", "verify", run);
        Cli.Result again = Cli.run("train", "--config", config, "--run", run);
        Cli.Result whole = Cli.run("checkpoint", "verify", run);
        String line = String.join("\t", Long.toString(bytes), Integer.toString(full.code()),
                full.err().strip().replace("\n", " | "), Long.toString(temporary),
                verified == null ? "-" : verified.code() + " " + oneLine(verified),
                again.code() + " " + oneLine(again), whole.code() + " " + oneLine(whole),
                again.code() == 0 ? again.word("digest") : "-",
                Long.toString(metricsThatAreNoLine(run)));
        remove(run);
        return line;
    }

    private static String oneLine(Cli.Result result) {
        return result.err().strip().replace("\n", " | ");
    }

    private void leave(long bytes) throws IOException, InterruptedException {
        switch (kind) {
            case FULL_FILE_SYSTEM -> {
                long free = Files.getFileStore(folder).getUsableSpace();
                try (FileChannel channel = FileChannel.open(
                        filler, StandardOpenOption.CREATE_NEW, StandardOpenOption.WRITE)) {
                    ByteBuffer zeros = ByteBuffer.allocate((int) Math.max(0, free - bytes));
                    while (zeros.hasRemaining()) {
                        channel.write(zeros);
                    }
                }
            }
            case FILE_SIZE_LIMIT -> limit(Long.toString(bytes));
        }
    }

    private void give() throws IOException, InterruptedException {
        switch (kind) {
            case FULL_FILE_SYSTEM -> Files.delete(filler);
            case FILE_SIZE_LIMIT -> limit("unlimited");
        }
    }

    /** Only the soft limit: raising it again needs no privilege. */
    private static void limit(String bytes) throws IOException, InterruptedException {
        Process process = new ProcessBuilder("prlimit", "--pid",
                Long.toString(ProcessHandle.current().pid()), "--fsize=" + bytes + ":")
                .inheritIO().start();
        if (!process.waitFor(20, TimeUnit.SECONDS) || process.exitValue() != 0) {
            throw new IOException("prlimit failed");
        }
    }

    private long temporaryFiles() throws IOException {
        try (Stream<Path> files = Files.walk(folder)) {
            return files.filter(file -> file.getFileName().toString().matches("\\.tmp-.*|.*\\.tmp"))
                    .count();
        }
    }

    private static long metricsThatAreNoLine(Path run) throws IOException {
        try (Stream<String> lines = Files.lines(run.resolve("metrics.jsonl"))) {
            return lines.filter(line -> !line.matches("\\{.*\\}")).count();
        }
    }

    private static void remove(Path run) throws IOException {
        List<Path> files;
        try (Stream<Path> all = Files.walk(run)) {
            files = all.sorted(java.util.Comparator.reverseOrder()).toList();
        }
        for (Path file : files) {
            Files.delete(file);
        }
    }
}
