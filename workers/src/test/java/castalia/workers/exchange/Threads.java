package castalia.workers.exchange;

import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;

/** Threads for what a test has wait: the common pool may have one, on which a second wait never begins. */
public final class Threads {

    /** As many as are asked for at once, none of which keeps the process alive. */
    public static final ExecutorService ALL = Executors.newCachedThreadPool(
            Thread.ofPlatform().daemon().name("rank-", 0).factory());

    private Threads() {}
}
