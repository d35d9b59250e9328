package castalia.deploy.cluster;

import castalia.protocol.ErrorCode;
import java.io.IOException;
import java.io.InputStream;
import java.lang.foreign.FunctionDescriptor;
import java.lang.foreign.Linker;
import java.lang.foreign.ValueLayout;
import java.lang.invoke.MethodHandle;
import java.util.Optional;

/**
 * Ends a process within a moment of losing its parent, however the parent ended: its end of the
 * pipe to our standard input closes with it.
 */
public final class OrphanWatch {

    private OrphanWatch() {}

    /** Watches {@code parent}, on which nothing is ever written. */
    public static void start(InputStream parent) {
        Thread thread = new Thread(() -> {
            Optional<MethodHandle> exit = exit();
            try {
                while (parent.read() >= 0) {
                    // Nothing is expected; whatever comes is no reason to end.
                }
            } catch (IOException e) {
                // The pipe broke: the parent is gone.
            }
            end(exit);
        }, "orphan-watch");
        thread.setDaemon(true);
        thread.start();
    }

    /** POSIX {@code _exit}: the JVM's own halt waits seconds for methods that are being compiled. */
    private static Optional<MethodHandle> exit() {
        Linker linker = Linker.nativeLinker();
        return linker.defaultLookup().find("_exit").map(symbol -> linker.downcallHandle(
                symbol, FunctionDescriptor.ofVoid(ValueLayout.JAVA_INT)));
    }

    private static void end(Optional<MethodHandle> exit) {
        int code = ErrorCode.PEER_LOST.exitCode();
        try {
            if (exit.isPresent()) {
                exit.get().invokeExact(code);
            }
        } catch (Throwable e) {
            // Said by the exit code alone: nobody is left to read more.
        } finally {
            Runtime.getRuntime().halt(code);
        }
    }
}
