package castalia.deploy;

import castalia.deploy.shell.CastaliaHome;
import java.io.PrintWriter;
import java.io.StringWriter;
import java.nio.file.Path;

/** Runs one command line in this process, as the launcher does in one of its own. */
public final class Cli {

    private Cli() {}

    /**
     * What a command printed and how it ended.
     *
     * @param code exit code
     * @param out standard output
     * @param err standard error
     */
    public record Result(int code, String out, String err) {

        /** The hexadecimal word after {@code name} at the start of a line of the output. */
        public String word(String name) {
            return out.lines().filter(line -> line.startsWith(name + " "))
                    .map(line -> line.substring(name.length()).strip())
                    .findFirst()
                    .orElseThrow(() -> new AssertionError("no line '" + name + "' in " + this));
        }
    }

    /** The folder the build's natives are unpacked into, shared by all tests. */
    public static CastaliaHome home() {
        return new CastaliaHome(Path.of(System.getProperty("castalia.root", "."), ".castalia")
                .toAbsolutePath());
    }

    /** Runs a command. */
    public static Result run(Object... args) {
        String[] words = new String[args.length];
        for (int i = 0; i < args.length; i++) {
            words[i] = args[i].toString();
        }
        StringWriter out = new StringWriter();
        StringWriter err = new StringWriter();
        int code = Main.run(words, new PrintWriter(out), new PrintWriter(err), home());
        return new Result(code, out.toString(), err.toString());
    }
}
