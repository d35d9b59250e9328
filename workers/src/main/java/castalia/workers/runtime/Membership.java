package castalia.workers.runtime;

import castalia.protocol.control.CoordinatorMessage;
import castalia.protocol.control.GenerationPlan;
import castalia.protocol.identity.Fence;
import castalia.workers.exchange.Transport;
import java.util.Optional;

/** A worker's part in one generation, and how far it came. Used by the rank's thread. */
final class Membership {

    /** What the rank does at the next boundary. */
    enum Going { INSTALLED, STEPPING, STOPPED }

    private final GenerationPlan plan;
    private final Transport transport;
    private Going going = Going.INSTALLED;
    private Optional<CoordinatorMessage.Pause> pause = Optional.empty();
    private long stored = -1;

    Membership(GenerationPlan plan, Transport transport) {
        this.plan = plan;
        this.transport = transport;
    }

    GenerationPlan plan() {
        return plan;
    }

    Fence fence() {
        return plan.fence();
    }

    Transport transport() {
        return transport;
    }

    boolean stepping() {
        return going == Going.STEPPING;
    }

    /** Returns whether it stood still before. */
    boolean start() {
        boolean first = going == Going.INSTALLED;
        if (first) {
            going = Going.STEPPING;
        }
        return first;
    }

    void stop() {
        going = Going.STOPPED;
    }

    void pause(CoordinatorMessage.Pause asked) {
        pause = Optional.of(asked);
    }

    /** The pause that stops before the step of this version, if any. */
    Optional<CoordinatorMessage.Pause> pauseAt(long version) {
        return pause.filter(asked -> version >= asked.step());
    }

    /** Whether a version that is due was not stored yet, by this generation or before. */
    boolean lacks(long version) {
        return version > plan.saved() && stored != version;
    }

    void stored(long version) {
        stored = version;
    }
}
