package castalia.deploy.train;

import java.time.Duration;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import java.util.function.BooleanSupplier;

/**
 * SIGINT and SIGTERM while a run steps: the process stays until the step is finished and its
 * checkpoint written, then ends with 130 or 143.
 */
public final class StopSignal implements BooleanSupplier, AutoCloseable {

    /** A job manager kills a process that takes longer anyway. */
    private static final Duration LONGEST = Duration.ofMinutes(30);

    private final CountDownLatch finished = new CountDownLatch(1);
    private final Thread hook;
    private volatile boolean asked;

    /** @param onAsk told when the signal arrives */
    public StopSignal(Runnable onAsk) {
        this.hook = new Thread(() -> {
            asked = true;
            onAsk.run();
            try {
                if (!finished.await(LONGEST.toMillis(), TimeUnit.MILLISECONDS)) {
                    System.err.println("castalia: the step did not end in time");
                }
            } catch (InterruptedException e) {
                Thread.currentThread().interrupt();
            }
        }, "stop-signal");
        Runtime.getRuntime().addShutdownHook(hook);
    }

    /** Whether to stop. */
    @Override
    public boolean getAsBoolean() {
        return asked;
    }

    /** To be called when everything is written; lets a waiting process end. */
    @Override
    public void close() {
        finished.countDown();
        if (!asked) {
            try {
                Runtime.getRuntime().removeShutdownHook(hook);
            } catch (IllegalStateException e) {
                // The signal came this moment: the hook ends by itself.
                asked = true;
            }
        }
    }
}
