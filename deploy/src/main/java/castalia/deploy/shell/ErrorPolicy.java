package castalia.deploy.shell;

import castalia.kernels.OutOfDeviceMemoryException;
import castalia.protocol.CastaliaException;
import castalia.protocol.ErrorCode;
import castalia.protocol.specification.ProblemsException;
import castalia.workers.data.DataException;
import castalia.workers.exchange.PeerLostException;

import picocli.CommandLine;
import picocli.CommandLine.IExecutionExceptionHandler;
import picocli.CommandLine.IParameterExceptionHandler;
import picocli.CommandLine.ParameterException;
import picocli.CommandLine.ParseResult;
import picocli.CommandLine.UnmatchedArgumentException;

import java.io.IOException;
import java.io.PrintWriter;
import java.io.StringWriter;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.LocalDateTime;
import java.time.ZoneId;
import java.time.format.DateTimeFormatter;
import java.util.Arrays;
import java.util.List;

/**
 * What a user sees when a command fails: one line {@code castalia: message} on stderr and an exit
 * code. Operating errors carry both; wrong usage is 2 with a hint; anything else is 1, with its
 * stack trace in a file of {@link CastaliaHome#errors()}. With {@code --debug} every stack trace is
 * printed.
 */
public final class ErrorPolicy implements IExecutionExceptionHandler, IParameterExceptionHandler {
    /** An unexpected error, or a command whose verdict is negative. */
    public static final int UNEXPECTED = 1;

    /** The command line itself is wrong. */
    public static final int USAGE = 2;

    private static final DateTimeFormatter FILE_TIME =
            DateTimeFormatter.ofPattern("yyyyMMdd-HHmmss");

    private final PrintWriter err;
    private final CastaliaHome home;

    public ErrorPolicy(PrintWriter err, CastaliaHome home) {
        this.err = err;
        this.home = home;
    }

    /** Whether stack traces were asked for. */
    public static boolean debugWanted(String[] args) {
        return Arrays.asList(args).contains("--debug");
    }

    @Override
    public int handleExecutionException(Exception error, CommandLine line, ParseResult parsed) {
        List<String> args = parsed.originalArgs();
        return report(error, args.toArray(String[]::new), args.contains("--debug"));
    }

    @Override
    public int handleParseException(ParameterException error, String[] args) {
        CommandLine line = error.getCommandLine();
        err.println("castalia: " + oneLine(error));
        UnmatchedArgumentException.printSuggestions(error, err);
        err.println("try: " + line.getCommandSpec().qualifiedName() + " --help");
        if (debugWanted(args)) {
            error.printStackTrace(err);
        }
        return USAGE;
    }

    /** Prints the one line for {@code error} and returns the exit code. */
    public int report(Throwable error, String[] args, boolean debug) {
        if (debug) {
            error.printStackTrace(err);
        }
        return switch (error) {
            case CastaliaException known -> {
                err.println("castalia: " + oneLine(known));
                yield known.code().exitCode();
            }
            case ProblemsException several -> {
                several.problems().forEach(problem -> err.println("castalia: " + problem));
                yield ErrorCode.CONFIG_INVALID.exitCode();
            }
            case DataException data -> {
                err.println("castalia: " + oneLine(data));
                yield ErrorCode.DATA_CORRUPT.exitCode();
            }
            case OutOfDeviceMemoryException memory -> {
                err.println("castalia: " + oneLine(memory));
                yield ErrorCode.OUT_OF_MEMORY.exitCode();
            }
            case PeerLostException lost -> {
                err.println("castalia: " + oneLine(lost));
                yield ErrorCode.PEER_LOST.exitCode();
            }
            case OutOfMemoryError memory -> {
                err.println(
                        "castalia: too little memory ("
                                + oneLine(memory)
                                + "); "
                                + "CASTALIA_JAVA_OPTS=-Xmx4g gives the Java heap more than "
                                + (Runtime.getRuntime().maxMemory() >> 20)
                                + " MB");
                yield ErrorCode.OUT_OF_MEMORY.exitCode();
            }
            default -> {
                err.println(
                        "castalia: unexpected error: "
                                + oneLine(error)
                                + " ("
                                + keepTrace(error, args)
                                + ")");
                yield UNEXPECTED;
            }
        };
    }

    private String keepTrace(Throwable error, String[] args) {
        StringWriter text = new StringWriter();
        PrintWriter writer = new PrintWriter(text);
        writer.println(
                BuildInfo.ofProgram().oneLine() + ", Java " + System.getProperty("java.version"));
        writer.println("arguments: " + List.of(args));
        error.printStackTrace(writer);
        Path file =
                home.errors()
                        .resolve(
                                FILE_TIME.format(LocalDateTime.now(ZoneId.systemDefault()))
                                        + "-"
                                        + ProcessHandle.current().pid()
                                        + ".txt");
        try {
            Files.createDirectories(home.errors());
            Files.writeString(file, text.toString());
            return "details: " + file;
        } catch (IOException _) {
            return "details with --debug; " + file + " cannot be written";
        }
    }

    private static String oneLine(Throwable error) {
        String message = error.getMessage();
        if (message == null || message.isBlank()) {
            message = error.getClass().getSimpleName();
        } else if (!(error instanceof CastaliaException)
                && !(error instanceof DataException)
                && !(error instanceof ParameterException)) {
            message = error.getClass().getSimpleName() + ": " + message;
        }
        return message.strip().replaceAll("\\s*\\R\\s*", " ");
    }
}
