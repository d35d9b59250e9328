package castalia.actors.watch;

import akka.actor.typed.ActorSystem;
import akka.actor.typed.DispatcherSelector;
import java.time.Duration;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.Executor;
import java.util.concurrent.RejectedExecutionException;
import java.util.concurrent.TimeUnit;
import java.util.function.Supplier;

/** Calls that may block, on the dispatcher kept for them, each with a deadline. */
public final class Blocking {

    private final Executor executor;

    /** On the blocking dispatcher of a system. */
    public Blocking(ActorSystem<?> system) {
        this.executor = system.dispatchers()
                .lookup(DispatcherSelector.fromConfig("castalia.blocking-dispatcher"));
    }

    /** The result of {@code call}; failed if it throws, is not accepted or takes longer. */
    public <T> CompletableFuture<T> run(Duration limit, Supplier<T> call) {
        try {
            return CompletableFuture.supplyAsync(call, executor)
                    .orTimeout(limit.toMillis(), TimeUnit.MILLISECONDS);
        } catch (RejectedExecutionException e) {
            return CompletableFuture.failedFuture(e);
        }
    }

    /** What went wrong, in words: the message of the innermost cause. */
    public static String words(Throwable failure) {
        Throwable cause = failure;
        while (cause.getCause() != null && cause.getMessage() != null
                && cause.getMessage().equals(cause.getCause().toString())) {
            cause = cause.getCause();
        }
        String message = cause.getMessage();
        return message == null ? cause.getClass().getSimpleName() : message;
    }
}
