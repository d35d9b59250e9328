package castalia.deploy.cluster;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Collection;
import java.util.List;
import java.util.concurrent.TimeUnit;

/** Signals to processes, and their ends. */
final class Signals {

    private Signals() {}

    /** Sends a signal as {@code kill} names it. */
    static void send(String signal, long pid) {
        try {
            Process kill = new ProcessBuilder("kill", "-" + signal, Long.toString(pid))
                    .redirectErrorStream(true)
                    .redirectOutput(ProcessBuilder.Redirect.DISCARD).start();
            assertThat(kill.waitFor(10, TimeUnit.SECONDS)).isTrue();
        } catch (IOException e) {
            throw new IllegalStateException(e);
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
        }
    }

    /** Waits until none of the processes lives; says which do. */
    static void assertGone(Collection<Long> pids, int seconds) throws InterruptedException {
        long end = System.nanoTime() + TimeUnit.SECONDS.toNanos(seconds);
        List<Long> left = living(pids);
        while (!left.isEmpty() && System.nanoTime() < end) {
            Thread.sleep(50);
            left = living(left);
        }
        assertThat(left).as("processes that should have ended").isEmpty();
    }

    static List<Long> living(Collection<Long> pids) {
        return pids.stream().filter(Signals::lives).toList();
    }

    /** A zombie is a process whose end nobody asked for yet; it does nothing any more. */
    private static boolean lives(long pid) {
        try {
            String stat = Files.readString(Path.of("/proc/" + pid + "/stat"));
            return stat.charAt(stat.lastIndexOf(')') + 2) != 'Z';
        } catch (IOException e) {
            return false;
        }
    }
}
