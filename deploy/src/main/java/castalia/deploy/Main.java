package castalia.deploy;

import castalia.deploy.command.CommandList;
import castalia.deploy.shell.CastaliaHome;
import castalia.deploy.shell.ErrorPolicy;

import picocli.CommandLine;

import java.io.PrintStream;
import java.io.PrintWriter;
import java.nio.charset.StandardCharsets;

/**
 * The program behind {@code ./castalia}: reads the command line, runs one command, ends with its
 * exit code.
 */
public final class Main {
    private Main() {}

    /** Runs the command and ends the process; the only place that does. */
    public static void main(String[] args) {
        int code = run(args, writer(System.out), writer(System.err), CastaliaHome.ofProcess());
        System.exit(code);
    }

    /**
     * Runs one command line. Results go to {@code out}, everything about the run's own state and
     * errors to {@code err}.
     *
     * @return the exit code: 0 done, 1 unexpected error or negative verdict, 2 wrong usage, above
     *     that an {@link castalia.protocol.ErrorCode}
     */
    public static int run(String[] args, PrintWriter out, PrintWriter err, CastaliaHome home) {
        ErrorPolicy policy = new ErrorPolicy(err, home);
        CommandLine line = CommandList.commandLine(home, policy).setOut(out).setErr(err);
        int code;
        try {
            code = line.execute(args);
        } catch (Throwable error) { // an Error passes picocli's handlers
            code = policy.report(error, args, ErrorPolicy.debugWanted(args));
        }
        out.flush();
        err.flush();
        return code;
    }

    private static PrintWriter writer(PrintStream stream) {
        return new PrintWriter(stream, true, StandardCharsets.UTF_8);
    }
}
