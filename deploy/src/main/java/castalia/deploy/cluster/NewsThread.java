package castalia.deploy.cluster;

import castalia.actors.node.AgentNews;
import castalia.protocol.run.RunNews;
import java.util.List;
import java.util.concurrent.ArrayBlockingQueue;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.concurrent.ThreadPoolExecutor;
import java.util.concurrent.TimeUnit;

/**
 * Hands news on from actors, which must not wait, to listeners that may write files or to a
 * terminal. If it is far too slow the oldest news is dropped.
 */
final class NewsThread implements RunCluster.Listener, AutoCloseable {

    private static final int WAITING = 10_000;
    private static final long CLOSE_SECONDS = 10;

    private final List<RunCluster.Listener> listeners = new CopyOnWriteArrayList<>();
    private final ThreadPoolExecutor thread = new ThreadPoolExecutor(1, 1, 1, TimeUnit.MINUTES,
            new ArrayBlockingQueue<>(WAITING), run -> {
                Thread made = new Thread(run, "news");
                made.setDaemon(true);
                return made;
            }, new ThreadPoolExecutor.DiscardOldestPolicy());

    /** Hands news that comes from now on to one more listener. */
    void add(RunCluster.Listener listener) {
        listeners.add(listener);
    }

    @Override
    public void run(RunNews news) {
        thread.execute(() -> listeners.forEach(listener -> listener.run(news)));
    }

    @Override
    public void agent(AgentNews news) {
        thread.execute(() -> listeners.forEach(listener -> listener.agent(news)));
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
