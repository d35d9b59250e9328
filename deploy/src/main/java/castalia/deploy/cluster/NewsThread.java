package castalia.deploy.cluster;

import castalia.actors.node.AgentNews;
import castalia.protocol.run.RunNews;
import java.util.concurrent.ArrayBlockingQueue;
import java.util.concurrent.ThreadPoolExecutor;
import java.util.concurrent.TimeUnit;

/**
 * Hands news on from actors, which must not wait, to a listener that may write files or to a
 * terminal. If it is far too slow the oldest news is dropped.
 */
final class NewsThread implements RunCluster.Listener, AutoCloseable {

    private static final int WAITING = 10_000;
    private static final long CLOSE_SECONDS = 10;

    private final RunCluster.Listener listener;
    private final ThreadPoolExecutor thread = new ThreadPoolExecutor(1, 1, 1, TimeUnit.MINUTES,
            new ArrayBlockingQueue<>(WAITING), run -> {
                Thread made = new Thread(run, "news");
                made.setDaemon(true);
                return made;
            }, new ThreadPoolExecutor.DiscardOldestPolicy());

    NewsThread(RunCluster.Listener listener) {
        this.listener = listener;
    }

    @Override
    public void run(RunNews news) {
        thread.execute(() -> listener.run(news));
    }

    @Override
    public void agent(AgentNews news) {
        thread.execute(() -> listener.agent(news));
    }

    /** Lets what came before be heard. */
    @Override
    public void close() {
        thread.shutdown();
        try {
            if (!thread.awaitTermination(CLOSE_SECONDS, TimeUnit.SECONDS)) {
                thread.shutdownNow();
            }
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
        }
    }
}
