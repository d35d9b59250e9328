package castalia.actors.heartbeat;

import castalia.actors.heartbeat.Heartbeats.Lost;
import castalia.protocol.control.Heartbeat.Ping;
import castalia.protocol.control.Heartbeat.Pong;
import castalia.protocol.identity.Claimant;
import castalia.protocol.wire.HeartbeatCodec;
import castalia.protocol.wire.MalformedMessageException;
import java.io.IOException;
import java.net.InetSocketAddress;
import java.net.Socket;
import java.net.SocketTimeoutException;
import java.time.Duration;
import java.util.Optional;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import java.util.function.Consumer;

/**
 * Asks one coordinator whether it lives until it does not. A connection that breaks is made anew
 * once: what does not stand then is lost.
 */
final class LeaderWatch implements Heartbeats.Watch {

    private static final int MOST_FAILURES = 2;
    private static final long AGAIN_MILLIS = 50;

    private final long term;
    private final Claimant leader;
    private final Pace pace;
    private final CountDownLatch closed = new CountDownLatch(1);
    private volatile Optional<Socket> open = Optional.empty();
    /** When it last answered, whatever it said; or as if it had, while it is doubted. */
    private long heard = System.nanoTime();
    /** Since when it answers that it does not lead; empty where it did not, or said since that it does. */
    private Optional<Long> idleSince = Optional.empty();
    private boolean led;
    private boolean doubted;
    private int failures;
    private long sequence;

    private LeaderWatch(long term, Claimant leader, Pace pace) {
        this.term = term;
        this.leader = leader;
        this.pace = pace;
    }

    static LeaderWatch start(long term, Claimant leader, Pace pace, Consumer<Lost> onLost) {
        LeaderWatch watch = new LeaderWatch(term, leader, pace);
        Thread.ofVirtual().name("heartbeat-watch").start(() -> watch.run(onLost));
        return watch;
    }

    private void run(Consumer<Lost> onLost) {
        String how = "";
        while (how.isEmpty() && !isClosed()) {
            try (Socket connection = new Socket()) {
                how = ask(connection);
            } catch (SocketTimeoutException e) {
                how = doubt();
            } catch (IOException | MalformedMessageException e) {
                failures++;
                how = failures < MOST_FAILURES ? "" : "its connection broke: " + e.getMessage();
                pause(AGAIN_MILLIS);
            }
        }
        if (!isClosed()) {
            onLost.accept(new Lost(term, leader.node() + " (" + leader.process() + ") is lost: " + how));
        }
    }

    /** Asks on one connection; gives why the leader is lost, or fails. */
    private String ask(Socket connection) throws IOException, MalformedMessageException {
        open = Optional.of(connection);
        connection.connect(new InetSocketAddress(leader.host(), leader.port()), left());
        connection.setTcpNoDelay(true);
        while (!isClosed()) {
            sequence++;
            Frames.write(connection,
                    HeartbeatCodec.encode(new Ping(leader.incarnation(), sequence)));
            connection.setSoTimeout(left());
            Pong pong = HeartbeatCodec.decodePong(Frames.read(connection));
            if (!pong.from().equals(leader.incarnation()) || pong.sequence() != sequence) {
                throw new IOException("another process answers");
            }
            failures = 0;
            heard = System.nanoTime();
            doubted = false;
            String how = idle(pong.term() == term);
            if (!how.isEmpty()) {
                return how;
            }
            pause(pace.interval().toMillis());
        }
        return "";
    }

    /**
     * Why a leader that answers is lost. One that led is asked for a while: where its machine stood
     * still, its answer may come before its coordinator's next beat.
     */
    private String idle(boolean leads) {
        led |= leads;
        idleSince = leads ? Optional.empty() : idleSince.or(() -> Optional.of(heard));
        Duration borne = led ? pace.again() : pace.silence();
        return idleSince.filter(since -> heard - since >= borne.toNanos())
                .map(_ -> led ? "it leads no more" : "it does not begin to lead").orElse("");
    }

    /** Milliseconds until silence is taken for loss, at least one: sockets take 0 for ever. */
    private int left() {
        long nanos = heard + pace.silence().toNanos() - System.nanoTime();
        return Math.toIntExact(Math.max(1, TimeUnit.NANOSECONDS.toMillis(nanos)));
    }

    private String silent() {
        return System.nanoTime() - heard >= pace.silence().toNanos()
                ? "it was silent for more than " + pace.silence().toMillis() + " ms" : "";
    }

    /** Asks once more: it may be this process that stood still. */
    private String doubt() {
        String how = silent();
        if (!how.isEmpty() && !doubted) {
            doubted = true;
            heard = System.nanoTime() - pace.silence().toNanos() + pace.again().toNanos();
            return "";
        }
        return how;
    }

    private boolean isClosed() {
        return closed.getCount() == 0;
    }

    private void pause(long millis) {
        try {
            closed.await(millis, TimeUnit.MILLISECONDS);
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
        }
    }

    @Override
    public void close() {
        closed.countDown();
        open.ifPresent(Heartbeats::close);
    }
}
