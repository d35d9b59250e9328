package castalia.workers.runtime;

import castalia.protocol.control.CoordinatorMessage;
import castalia.protocol.control.RankRuntime;
import castalia.protocol.control.WorkerMessage;
import castalia.protocol.identity.Fence;
import castalia.protocol.identity.Member;
import castalia.workers.exchange.AbandonedException;
import castalia.workers.exchange.PeerLostException;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;
import java.util.function.BooleanSupplier;
import org.jspecify.annotations.Nullable;

/**
 * A worker: one rank on a thread of its own, a data plane, and the coordinator's messages. The
 * thread obeys them between steps, in order; a query, an installation or a dismissal also ends the
 * step that runs, within a micro-batch, except that an update once begun is finished.
 */
public final class WorkerRuntime implements RankRuntime {

    private static final long IDLE_MILLIS = 1000;
    private static final long ATTENTIVE_MILLIS = 5;
    private static final long CLOSE_MILLIS = 60_000;

    /** Messages that wait for the rank's thread; no coordinator says so many in one step. */
    static final int MOST_ORDERS = 1024;

    private final WorkerParts parts;
    private final BlockingQueue<Order> orders = new LinkedBlockingQueue<>(MOST_ORDERS);
    private final Thread thread;
    private final Object gate = new Object();
    private Fence seen = Fence.NONE;
    private long staleMessages;
    private volatile long turn;
    private volatile boolean closed;

    /**
     * A message and what it must not outlive.
     *
     * @param message none just wakes the thread
     * @param turn the turn it was said in
     */
    private record Order(@Nullable CoordinatorMessage message, long turn) {}

    /** Starts the rank's thread, which makes the device. */
    public WorkerRuntime(WorkerParts parts) {
        this.parts = parts;
        this.thread = new Thread(this::run, "rank-" + member().name());
        thread.setDaemon(true);
        thread.start();
    }

    @Override
    public Member member() {
        return parts.registration().member();
    }

    @Override
    public WorkerMessage.Registered registration() {
        WorkerMessage.Registered of = parts.registration();
        return new WorkerMessage.Registered(of.member(), of.run(), of.numericVersion(),
                of.build(), of.device(), seen());
    }

    private Fence seen() {
        synchronized (gate) {
            return seen;
        }
    }

    /** Messages dropped because a newer fence had been seen. */
    long staleMessages() {
        synchronized (gate) {
            return staleMessages;
        }
    }

    @Override
    public void accept(CoordinatorMessage message) {
        synchronized (gate) {
            if (seen.newerThan(message.fence())) {
                staleMessages++;
                return;
            }
            raise(message.fence());
            boolean ends = switch (message) {
                case CoordinatorMessage.Query _, CoordinatorMessage.Install _,
                        CoordinatorMessage.Dismiss _ -> true;
                case CoordinatorMessage.Start _, CoordinatorMessage.Pause _,
                        CoordinatorMessage.Feed _, CoordinatorMessage.Learn _,
                        CoordinatorMessage.Saved _, CoordinatorMessage.FlipBit _ -> false;
            };
            if (ends) {
                nextTurn();
            }
            Order order = new Order(message, turn);
            if (!orders.offer(order) && ends) { // others are as if lost on their way
                var _ = orders.poll(); // the oldest makes room: a dismissal is not said again
                boolean _ = orders.offer(order);
            }
        }
    }

    /** A full queue needs no waking. */
    private void wake() {
        boolean _ = orders.offer(new Order(null, turn));
    }

    private void raise(Fence fence) {
        if (fence.newerThan(seen)) {
            seen = fence;
            if (!closed) {
                parts.plane().raise(fence);
            }
        }
    }

    @SuppressWarnings("NonAtomicVolatileUpdate") // written under the gate only
    private void nextTurn() {
        turn++;
    }

    /**
     * Another worker answered that the fence of this one's frames is old, and named a newer one of
     * which no coordinator told it: its generation is over. It stops, waits and registers again; a
     * coordinator that knows it has asked it already, one that excluded it dismisses it.
     */
    public void staleSeen(Fence newer) {
        synchronized (gate) {
            if (closed || !newer.newerThan(seen)) {
                return;
            }
            raise(newer);
            nextTurn();
            wake();
        }
        parts.outbox().accept(registration());
    }

    private void run() {
        boolean dismissed = false;
        String reason = "";
        try (RankLoop loop = new RankLoop(parts)) {
            while (!closed && !dismissed) {
                Order order = next(loop);
                CoordinatorMessage message = order == null ? null : order.message();
                if (message instanceof CoordinatorMessage.Dismiss(_, String why)) {
                    dismissed = true;
                    reason = why;
                } else {
                    attempt(loop, message, order == null ? turn : order.turn());
                }
            }
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
        } catch (RuntimeException | Error e) {
            fail(e);
        }
        if (dismissed) {
            parts.onDismissed().accept(reason);
        }
    }

    private @Nullable Order next(RankLoop loop) throws InterruptedException {
        if (loop.stepping()) {
            return orders.poll();
        }
        return orders.poll(
                loop.attentive() ? ATTENTIVE_MILLIS : IDLE_MILLIS, TimeUnit.MILLISECONDS);
    }

    private void attempt(RankLoop loop, @Nullable CoordinatorMessage message, long said) {
        BooleanSupplier over = () -> closed || turn != said;
        try {
            if (message != null) {
                loop.obey(message, over);
            } else {
                loop.advance();
            }
        } catch (AbandonedException e) {
            loop.leave();
        } catch (PeerLostException e) {
            loop.lost(e);
        } catch (RuntimeException | Error e) {
            fail(e);
            loop.leave();
        }
    }

    private void fail(Throwable failure) {
        if (!closed) {
            parts.outbox().accept(new WorkerMessage.Failed(seen(), member().incarnation(),
                    Failures.code(failure), Failures.message(failure)));
        }
    }

    /** Ends the thread and frees everything; called by the rank's thread it does not wait. */
    @Override
    public void close() {
        synchronized (gate) {
            closed = true;
            nextTurn();
            wake();
        }
        parts.plane().close();
        if (Thread.currentThread() == thread) {
            return;
        }
        try {
            thread.join(CLOSE_MILLIS);
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
        }
    }
}
