package castalia.deploy.command;

import castalia.deploy.fetch.FetchSettings;
import castalia.deploy.fetch.Fetcher;
import castalia.deploy.fetch.HubRepository;
import castalia.deploy.fetch.HubRepository.Kind;
import castalia.deploy.shell.JsonOption;
import castalia.deploy.train.FetchProgressLine;
import castalia.deploy.train.ProgressLine;
import castalia.protocol.CastaliaException;
import castalia.protocol.ErrorCode;
import java.io.PrintWriter;
import java.nio.file.FileSystems;
import java.nio.file.Path;
import java.nio.file.PathMatcher;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Objects;
import java.util.function.Predicate;
import java.util.regex.PatternSyntaxException;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;

/** What both {@code fetch} commands ask. */
final class HubOptions {
    /** The variable that other programs of the ecosystem read, too. */
    private static final String VARIABLE = "HF_ENDPOINT";

    @Parameters(paramLabel = "REPO", description = "Repository of the hub: OWNER/NAME.")
    @SuppressWarnings("NullAway.Init") // picocli requires it
    private String repository;

    @Option(names = "--out", required = true, paramLabel = "DIR", description = {
        "Folder for the files. Files that are there and right are not fetched again."})
    @SuppressWarnings("NullAway.Init") // picocli requires it
    private Path folder;

    @Option(names = "--include", paramLabel = "GLOB",
            description = "Only such files; may be repeated, for example '*.bin'.")
    private List<String> include = new ArrayList<>();

    @Option(names = "--exclude", paramLabel = "GLOB", description = "Not such files.")
    private List<String> exclude = new ArrayList<>();

    @Option(names = "--parallel", paramLabel = "N", description = "Files at a time (default 4).")
    private int parallel = 4;

    @Option(names = "--hub", paramLabel = "URL", description = {
        "Address of the hub (default: the variable " + VARIABLE + ", else "
                + HubRepository.PUBLIC_HUB + ")."})
    private @Nullable String hub;

    private record Result(
            String repository, String revision, String commit, int files, int fetched, long bytes,
            double seconds) {}

    /** Fetches and says what there is. */
    int fetch(
            CommandSpec spec, Kind kind, String revision, List<String> usual, JsonOption json) {
        PrintWriter out = spec.commandLine().getOut();
        long start = System.nanoTime();
        try (FetchProgressLine progress = new FetchProgressLine(
                spec.commandLine().getErr(), ProgressLine.onTerminal())) {
            Fetcher.Summary summary = Fetcher.fetch(repository(kind, revision), folder,
                    wanted(include.isEmpty() ? usual : include, exclude),
                    FetchSettings.usual(parallel), progress);
            progress.end();
            double seconds = (System.nanoTime() - start) * 1e-9;
            out.printf(Locale.ROOT, "%s: %,d files of %s at %s, %,d bytes, every hash right; %,d"
                            + " were not there before, %.1f s%n", folder, summary.files(),
                    repository, summary.commit(), summary.bytes(), summary.fetched(), seconds);
            json.printLast(out, new Result(repository, revision, summary.commit(),
                    summary.files(), summary.fetched(), summary.bytes(), seconds));
            return 0;
        } catch (IllegalArgumentException e) {
            throw CastaliaException.of(ErrorCode.CONFIG_INVALID, e);
        }
    }

    private HubRepository repository(Kind kind, String revision) {
        Map<String, String> environment = System.getenv();
        String base = Objects.requireNonNullElseGet(hub,
                () -> environment.getOrDefault(VARIABLE, HubRepository.PUBLIC_HUB));
        return HubRepository.of(base, kind, repository, revision);
    }

    /** A pattern without a slash is matched against the last part of a path. */
    private static Predicate<String> wanted(List<String> include, List<String> exclude) {
        Predicate<String> in = any(include);
        Predicate<String> not = any(exclude);
        return path -> (include.isEmpty() || in.test(path)) && !not.test(path);
    }

    private static Predicate<String> any(List<String> globs) {
        Predicate<String> any = _ -> false;
        for (String glob : globs) {
            try {
                PathMatcher matcher = FileSystems.getDefault().getPathMatcher("glob:" + glob);
                boolean whole = glob.indexOf('/') >= 0;
                any = any.or(path -> matcher.matches(whole
                        ? Path.of(path)
                        : Objects.requireNonNull(Path.of(path).getFileName())));
            } catch (PatternSyntaxException e) {
                throw new IllegalArgumentException(
                        "pattern '" + glob + "' is no glob (" + e.getDescription() + ")", e);
            }
        }
        return any;
    }
}
