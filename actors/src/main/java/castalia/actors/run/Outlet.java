package castalia.actors.run;

import castalia.protocol.control.WorkerMessage;
import java.util.ArrayDeque;
import java.util.function.Consumer;
import org.jspecify.annotations.Nullable;

/**
 * Where a rank puts what it has to say, from any thread, before and after its actor exists. Until
 * then the newest few messages wait.
 */
public final class Outlet implements Consumer<WorkerMessage> {

    private static final int WAITING = 256;

    private final ArrayDeque<WorkerMessage> waiting = new ArrayDeque<>();
    private @Nullable Consumer<WorkerMessage> actor;

    @Override
    public synchronized void accept(WorkerMessage message) {
        if (actor != null) {
            actor.accept(message);
            return;
        }
        if (waiting.size() == WAITING) {
            waiting.removeFirst();
        }
        waiting.addLast(message);
    }

    synchronized void attach(Consumer<WorkerMessage> actor) {
        this.actor = actor;
        waiting.forEach(actor);
        waiting.clear();
    }
}
