package castalia.protocol.control;

import castalia.protocol.identity.Member;

/**
 * One rank as its worker's actor sees it. The rank computes on a thread of its own; nothing here
 * blocks, and tensor bytes never pass. What it has to say goes to the consumer of {@link
 * WorkerMessage}s it was made with, from its own threads.
 */
public interface RankRuntime extends AutoCloseable {

    /** Who it is. */
    Member member();

    /** What it says of itself when it offers itself. */
    WorkerMessage.Registered registration();

    /** Hands it a message of the coordinator; returns at once. */
    void accept(CoordinatorMessage message);

    /** Stops whatever runs and frees everything. */
    @Override
    void close();
}
