package castalia.actors.node;

import castalia.protocol.identity.Incarnation;
import org.jspecify.annotations.Nullable;

/** One worker's place on a node: its process and how often processes failed in it. */
final class Slot {

    private final String name;
    private WorkerProcesses.@Nullable Handle process;
    private @Nullable Incarnation life;
    private int failures;
    private long total;
    private boolean quarantined;

    Slot(String name) {
        this.name = name;
    }

    String name() {
        return name;
    }

    boolean runs() {
        return process != null;
    }

    boolean quarantined() {
        return quarantined;
    }

    /** Failures in all. */
    long total() {
        return total;
    }

    void started(Incarnation life, WorkerProcesses.Handle process) {
        this.process = process;
        this.life = life;
    }

    /** Notes an end and says it in words. */
    String ended(Incarnation of, int code) {
        String pid = process == null ? "" : " " + process.pid();
        if (of.equals(life)) {
            process = null;
            life = null;
        }
        return "worker " + name + ": process" + pid + " ended with exit code " + code;
    }

    /** Counts a failure; the number of those not forgiven yet. */
    int failed() {
        total++;
        return ++failures;
    }

    void forgive() {
        failures = Math.max(0, failures - 1);
    }

    void quarantine() {
        quarantined = true;
    }

    void destroy() {
        if (process != null) {
            process.destroy();
        }
    }

    void kill() {
        if (process != null) {
            process.kill();
        }
    }
}
