package castalia.deploy.command;

import castalia.deploy.shell.JsonOption;
import castalia.deploy.train.ProgressLine;
import castalia.deploy.train.WorkProgress;
import castalia.protocol.CastaliaException;
import castalia.protocol.ErrorCode;
import castalia.workers.data.DataParts;
import java.io.IOException;
import java.io.PrintWriter;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Objects;
import java.util.concurrent.Callable;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;
import picocli.CommandLine.Spec;

/** {@code data shard}, {@code unshard} and {@code checksum}: token files in numbered parts. */
final class DataPartsCommands {
    private DataPartsCommands() {}

    /** What the three print; {@code mismatches} name files that are not as expected. */
    private record Report(List<PartLine> parts, long bytes, String sha256, List<String> mismatches) {}

    private record PartLine(String file, long bytes, String sha256) {}

    /** What the three have in common. */
    abstract static class Base implements Callable<Integer> {
        @Spec
        @SuppressWarnings("NullAway.Init") // picocli fills it before anything runs
        private CommandSpec spec;

        @Mixin
        private JsonOption json = new JsonOption();

        @Parameters(paramLabel = "PREFIX",
                description = "Path of the token files without extension and part number.")
        @SuppressWarnings("NullAway.Init") // picocli requires it
        Path prefix;

        abstract DataParts.Sums work(WorkProgress progress);

        List<String> mismatches(DataParts.Sums sums) {
            return List.of();
        }

        @Override
        public Integer call() {
            PrintWriter out = spec.commandLine().getOut();
            DataParts.Sums sums;
            try (WorkProgress progress = new WorkProgress(spec.name() + " " + prefix,
                    spec.commandLine().getErr(), ProgressLine.onTerminal())) {
                sums = work(progress);
            }
            List<PartLine> lines = new ArrayList<>();
            for (DataParts.Part part : sums.parts()) {
                String file = Objects.requireNonNull(part.file().getFileName()).toString();
                lines.add(new PartLine(file, part.bytes(), part.sha256()));
                out.println(part.sha256() + "  " + file);
            }
            out.printf(Locale.ROOT, "%s  all %d parts, %,d bytes%n",
                    sums.sha256(), lines.size(), sums.bytes());
            List<String> wrong = mismatches(sums);
            wrong.forEach(out::println);
            json.printLast(out, new Report(lines, sums.bytes(), sums.sha256(), wrong));
            out.flush();
            return wrong.isEmpty() ? 0 : 1;
        }
    }

    /** {@code data shard}. */
    @Command(name = "shard", description = {
        "Cut PREFIX.bin into numbered parts, NAME-00000-of-00082.bin and so on; PREFIX.bin stays.",
        "train and the other commands read parts in place where PREFIX.bin is not there."},
        footer = {"", "Examples:", "  ./castalia data shard data/pile --size 5000000000"})
    static final class Shard extends Base {
        @Option(names = "--size", paramLabel = "BYTES",
                description = "Bytes of a part (default 5000000000, as the Pile was published).")
        private long size = DataParts.PUBLISHED_BYTES;

        @Option(names = "--out", paramLabel = "PREFIX", description = "Prefix of the parts.")
        private @Nullable Path target;

        @Override
        DataParts.Sums work(WorkProgress progress) {
            return DataParts.shard(prefix, target == null ? prefix : target, size, progress);
        }
    }

    /** {@code data unshard}. */
    @Command(name = "unshard", description = {
        "Join the numbered parts of PREFIX to PREFIX.bin; the parts stay."},
        footer = {"", "Examples:", "  ./castalia data unshard data/pile"})
    static final class Unshard extends Base {
        @Option(names = "--out", paramLabel = "PREFIX", description = "Prefix of the joined file.")
        private @Nullable Path target;

        @Override
        DataParts.Sums work(WorkProgress progress) {
            return DataParts.unshard(prefix, target == null ? prefix : target, progress);
        }
    }

    /** {@code data checksum}. */
    @Command(name = "checksum", description = {
        "SHA-256 of each part of a token file and of the whole, in one reading.",
        "Exit code 1 if one is not as a list says."},
        footer = {"", "Examples:", "  ./castalia data checksum data/pile",
            "  ./castalia data checksum data/pile --expect shard_hashes.txt"})
    static final class Checksum extends Base {
        private static final Pattern BETWEEN = Pattern.compile("[\\s:*]+");
        private static final Pattern HASH = Pattern.compile("\\b[0-9a-fA-F]{64}\\b");

        @Option(names = "--expect", paramLabel = "FILE",
                description = "A list with a file name and its SHA-256 on each line, in any order.")
        private @Nullable Path expect;

        private Map<String, String> expected = Map.of();

        @Override
        DataParts.Sums work(WorkProgress progress) {
            if (expect != null) {
                expected = expected(expect); // before hours of reading
            }
            return DataParts.checksum(prefix, progress);
        }

        @Override
        List<String> mismatches(DataParts.Sums sums) {
            if (expect == null) {
                return List.of();
            }
            List<String> wrong = new ArrayList<>();
            for (DataParts.Part part : sums.parts()) {
                String name = Objects.requireNonNull(part.file().getFileName()).toString();
                String hash = expected.get(name);
                if (hash == null) {
                    wrong.add(name + ": not in " + expect);
                } else if (!hash.equals(part.sha256())) {
                    wrong.add(name + ": DIFFERENT, expected " + hash);
                }
            }
            return wrong;
        }

        private static Map<String, String> expected(Path file) {
            Map<String, String> hashes = new HashMap<>();
            try {
                for (String line : Files.readAllLines(file)) {
                    Matcher hash = HASH.matcher(line);
                    if (hash.find()) {
                        String rest = line.substring(0, hash.start()) + " "
                                + line.substring(hash.end());
                        for (String word : BETWEEN.split(rest.strip(), -1)) {
                            hashes.put(word.substring(word.lastIndexOf('/') + 1),
                                    hash.group().toLowerCase(Locale.ROOT));
                        }
                    }
                }
            } catch (IOException e) {
                throw new CastaliaException(
                        ErrorCode.STORAGE_FAILED, "cannot read " + file + ": " + e, e);
            }
            if (hashes.isEmpty()) {
                throw new CastaliaException(ErrorCode.CONFIG_INVALID, file
                        + ": no line with a SHA-256 and a file name; write them as sha256sum does");
            }
            return hashes;
        }
    }
}
