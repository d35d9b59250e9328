package castalia.workers.exchange.socket;

import castalia.protocol.identity.Fence;
import castalia.protocol.identity.Incarnation;
import java.util.concurrent.Future;
import org.jspecify.annotations.Nullable;

/** What connections need of their plane. Any thread may call it, holding no lock. */
interface Core {

    SocketSettings settings();

    /** The newest fence raised. */
    Fence raised();

    Tallies tallies();

    Mailbox mailbox();

    Inbox inbox();

    Shelf shelf();

    /** The loop that reads the next connection from a member. */
    ReadLoop loop();

    /** Starts a thread of the plane. */
    void start(String name, Runnable body);

    /** Runs a short task later. */
    Future<?> later(long nanos, Runnable task);

    /** A peer answered that it knows a fence. */
    void answered(Fence newest);

    /** A connection to a peer cannot be made or ended while it was needed. */
    void broken(Outbound connection, String why);

    /** The hello of a connection from a peer fits. */
    void greeted(Inbound connection);

    /**
     * A connection from a peer ended.
     *
     * @param from who it belonged to, or null before a hello
     * @param last fence of its last frame
     * @param damaged whether it was ended here, because of what it sent
     */
    void ended(
            Inbound connection,
            @Nullable Incarnation from,
            Fence last,
            boolean damaged,
            String why);
}
