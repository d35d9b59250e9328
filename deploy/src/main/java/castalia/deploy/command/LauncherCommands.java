package castalia.deploy.command;

import castalia.protocol.CastaliaException;
import castalia.protocol.ErrorCode;

import picocli.CommandLine.Command;
import picocli.CommandLine.Unmatched;

import java.util.concurrent.Callable;

/**
 * The commands that the launcher answers itself, because they come before a build or contain one.
 * They are here for the help; only somebody who starts java by hand can reach them.
 */
final class LauncherCommands {
    private LauncherCommands() {}

    /** Unpacks a JDK; see deploy/launch/setup.sh. */
    @Command(
            name = "setup",
            description = "Unpack a JDK 25 from a local archive, where none is installed.",
            footer = {"", "Example:", "  ./castalia setup --jdk jdk-25.tar.gz --sha256 HEX"})
    static final class Setup implements Callable<Integer> {
        @Unmatched private String[] arguments = {};

        @Override
        public Integer call() {
            throw byLauncher("setup", arguments);
        }
    }

    /** Builds and tests; see deploy/launch/tests.sh. */
    @Command(
            name = "test",
            description = "Build Castalia and run its tests: --tier fast, default or full.",
            footer = {"", "Example:", "  ./castalia test --tier default"})
    static final class Test implements Callable<Integer> {
        @Unmatched private String[] arguments = {};

        @Override
        public Integer call() {
            throw byLauncher("test", arguments);
        }
    }

    /** Packs the program with a Java runtime; see deploy/launch/package.sh. */
    @Command(
            name = "package",
            description = "Pack the program with a Java runtime of its own, for machines without Java.",
            footer = {"", "Example:", "  ./castalia package castalia.tar.xz"})
    static final class Packing implements Callable<Integer> {
        @Unmatched private String[] arguments = {};

        @Override
        public Integer call() {
            throw byLauncher("package", arguments);
        }
    }

    private static CastaliaException byLauncher(String name, String[] arguments) {
        return new CastaliaException(
                ErrorCode.UNSUPPORTED,
                ("the launcher runs this one: ./castalia "
                                + name
                                + " "
                                + String.join(" ", arguments))
                        .strip());
    }
}
