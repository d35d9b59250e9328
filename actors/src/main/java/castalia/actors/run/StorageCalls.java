package castalia.actors.run;

import akka.actor.typed.javadsl.ActorContext;
import castalia.actors.run.CoordinatorActor.Command;
import castalia.actors.run.CoordinatorActor.Happened;
import castalia.actors.run.CoordinatorActor.Recorded;
import castalia.actors.run.CoordinatorActor.Looked;
import castalia.actors.watch.Blocking;
import castalia.protocol.run.RunEffect;
import castalia.protocol.run.RunEvent;
import castalia.protocol.run.RunStorage;
import java.time.Duration;
import java.util.Optional;
import java.util.concurrent.CompletableFuture;
import java.util.function.Supplier;
import org.jspecify.annotations.Nullable;

/**
 * A coordinator's calls to storage: one after the other, on the blocking dispatcher, answered by
 * events. Only the look at the newest term does not wait its turn.
 */
final class StorageCalls {

    private static final Duration WORK = Duration.ofMinutes(30);
    private static final Duration LOOK = Duration.ofSeconds(5);

    /** Looks that may fail in a row: then nobody knows whose turn it is. */
    private static final int BLIND = 5;

    private final ActorContext<Command> context;
    private final Blocking blocking;
    private final RunStorage storage;
    private final long term;
    private CompletableFuture<?> last = CompletableFuture.completedFuture(null);
    private CompletableFuture<Looked> look =
            CompletableFuture.completedFuture(new Looked(0, Optional.empty()));
    private int failed;

    /** Calls of the coordinator that holds {@code term}. */
    StorageCalls(ActorContext<Command> context, RunStorage storage, long term) {
        this.term = term;
        this.context = context;
        this.blocking = new Blocking(context.getSystem());
        this.storage = storage;
    }

    void find(RunEffect.FindCheckpoint find) {
        answer(() -> new RunEvent.CheckpointFound(find.fence(), storage.newestCheckpoint()));
    }

    void publish(RunEffect.Publish publish) {
        answer(() -> new RunEvent.Published(
                publish.scalars().step(),
                storage.publish(publish.scalars(), publish.entries(), publish.parentStep())));
    }

    /** Nobody waits for it; its failure is only logged. */
    void log(RunEffect.LogGeneration log) {
        context.pipeToSelf(
                queue(() -> {
                    storage.logGeneration(log.plan());
                    return true;
                }),
                (done, failure) -> new Recorded(failure == null ? "" : words(failure)));
    }

    /** Reads what others may have written, unless the look before still lasts. */
    void look() {
        if (!look.isDone()) {
            return;
        }
        look = blocking.run(LOOK, () -> {
            storage.keepOthersOut();
            return new Looked(storage.newestTerm(), storage.wish());
        });
        context.pipeToSelf(look, this::seen);
    }

    private Command seen(@Nullable Looked newest, @Nullable Throwable failure) {
        if (newest == null) {
            failed++;
            return failed < BLIND
                    ? new Looked(0, Optional.empty())
                    : new Happened(new RunEvent.StorageFailed(
                            "the newest term or layout cannot be read: " + words(failure)));
        }
        failed = 0;
        return newest;
    }

    /**
     * Nothing is done any more once a newer term was claimed. A claim may come between the look and
     * the call: what is stored then is what the other would store, bit for bit, and a step's manifest
     * is linked once, so that a publication that comes too late changes nothing.
     */
    private void answer(Supplier<RunEvent> call) {
        Supplier<RunEvent> fenced = () -> {
            long newest = storage.newestTerm();
            return newest > term ? new RunEvent.Deposed(newest) : call.get();
        };
        context.pipeToSelf(queue(fenced), (event, failure) -> new Happened(
                event != null ? event : new RunEvent.StorageFailed(words(failure))));
    }

    private <T> CompletableFuture<T> queue(Supplier<T> call) {
        CompletableFuture<T> next = last.handle((done, failure) -> true)
                .thenCompose(ready -> blocking.run(WORK, call));
        last = next;
        return next;
    }

    private static String words(@Nullable Throwable failure) {
        return failure == null ? "no answer" : Blocking.words(failure);
    }
}
