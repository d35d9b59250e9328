package castalia.actors.tls;

import akka.actor.ActorCell;
import akka.actor.ActorRef;
import akka.actor.ExtendedActorSystem;
import akka.actor.typed.javadsl.Adapter;
import akka.remote.artery.tcp.SSLEngineProvider;
import akka.remote.artery.tcp.SSLEngineProviderSetup;
import castalia.actors.wire.TrafficCounter;
import java.time.Duration;
import java.util.Iterator;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.function.Supplier;
import javax.net.ssl.SSLContext;
import javax.net.ssl.SSLEngine;
import javax.net.ssl.SSLSession;
import org.jspecify.annotations.Nullable;
import scala.Option;

/**
 * TLS for the actors' connections: both sides must show the run's credential before a byte reaches
 * Akka's own decoder, which believes whatever length a frame claims.
 *
 * <p>Akka lets whoever connects and says nothing stay for ever. Here a connection on which nobody
 * has shown the credential in time is ended, and so is the oldest of them where they are too many.
 */
public final class RunEngines implements SSLEngineProvider {

    /** Key of the configuration: how long a handshake may take. */
    public static final String DEADLINE = "castalia.handshake-deadline";

    /** Most connections on which nobody has shown the credential yet. */
    static final int MOST_STRANGERS = 128;

    private final ExtendedActorSystem system;
    private final Supplier<Credential> credential;
    private final Duration deadline;
    private final Map<ActorRef, SSLEngine> strangers = new LinkedHashMap<>();
    private @Nullable SSLContext context;

    private RunEngines(ExtendedActorSystem system, Supplier<Credential> credential) {
        this.system = system;
        this.credential = credential;
        this.deadline = system.settings().config().getDuration(DEADLINE);
    }

    /**
     * For the start of an actor system.
     *
     * @param credential asked once, when the first connection is made
     */
    public static SSLEngineProviderSetup setup(Supplier<Credential> credential) {
        return SSLEngineProviderSetup.create(system -> new RunEngines(system, credential));
    }

    private synchronized SSLContext context() {
        SSLContext ready = context;
        if (ready == null) {
            ready = credential.get().context();
            context = ready;
        }
        return ready;
    }

    private static SSLEngine strict(SSLEngine engine, boolean client) {
        engine.setSSLParameters(Credential.parameters());
        engine.setUseClientMode(client);
        return engine;
    }

    @Override
    public SSLEngine createClientSSLEngine(String hostname, int port) {
        // By its name, so that the sides of further connections remember each other.
        return strict(context().createSSLEngine(hostname, port), true);
    }

    @Override
    public SSLEngine createServerSSLEngine(String hostname, int port) {
        SSLEngine engine = strict(context().createSSLEngine(), false);
        ActorRef connection = connection();
        enter(connection, engine);
        system.scheduler().scheduleOnce(deadline, () -> {
            if (leave(connection)) {
                refuse(connection);
            }
        }, system.dispatcher());
        return engine;
    }

    /**
     * Whose engine is asked for. Akka asks in the constructor of the connection's actor, when the actor's
     * context lies on the stack below a mark, and says it nowhere else.
     */
    private static ActorRef connection() {
        return ActorCell.contextStack().get().apply(1).self();
    }

    private void enter(ActorRef connection, SSLEngine engine) {
        ActorRef oldest = null;
        synchronized (strangers) {
            strangers.put(connection, engine);
            if (strangers.size() > MOST_STRANGERS) {
                Iterator<ActorRef> first = strangers.keySet().iterator();
                oldest = first.next();
                first.remove();
            }
        }
        if (oldest != null) {
            refuse(oldest);
        }
    }

    /** Whether it was a stranger until now. */
    private boolean leave(ActorRef connection) {
        synchronized (strangers) {
            return strangers.remove(connection) != null;
        }
    }

    /** Ends a connection; one that ended by itself is counted all the same. */
    private void refuse(ActorRef connection) {
        system.stop(connection);
        TrafficCounter.of(Adapter.toTyped(system)).refused("transport");
    }

    @Override
    @SuppressWarnings("ReferenceEquality") // the session of that one engine is meant
    public Option<Throwable> verifyServerSession(String hostname, SSLSession session) {
        synchronized (strangers) {
            strangers.values().removeIf(engine -> engine.getSession() == session);
        }
        return Option.empty();
    }

    @Override
    public Option<Throwable> verifyClientSession(String hostname, SSLSession session) {
        return Option.empty();
    }
}
