package castalia.workers.exchange.socket;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.channels.ClosedSelectorException;
import java.nio.channels.Selector;
import java.util.ArrayDeque;
import java.util.Deque;
import java.util.HashSet;
import java.util.List;
import java.util.Queue;
import java.util.Set;
import java.util.concurrent.ConcurrentLinkedQueue;
import java.util.concurrent.atomic.AtomicBoolean;
import org.jspecify.annotations.Nullable;

/**
 * One thread that reads many connections, each as far as something is there. While it adds a piece that
 * came from one, the others' pieces gather in the kernel and nobody is woken for them; where ranks share
 * processors, a thread for each connection would take turns with all others at every few kilobytes.
 */
final class ReadLoop implements Reader, Runnable, AutoCloseable {

    private final Selector selector;
    private final Queue<Reception> arriving = new ConcurrentLinkedQueue<>();
    private final Queue<Reception> ending = new ConcurrentLinkedQueue<>();
    private final AtomicBoolean retry = new AtomicBoolean();
    private final Set<Reception> all = new HashSet<>();
    private final Deque<Reception> parked = new ArrayDeque<>();
    private volatile @Nullable Thread thread;
    private volatile boolean closed;

    ReadLoop() throws IOException {
        this.selector = Selector.open();
    }

    /** Reads a connection from now on; if this is closed, ends it. For any thread. */
    void add(Reception reception) {
        arriving.add(reception);
        selector.wakeup();
        if (closed && arriving.remove(reception)) { // the loop looks once more when it is closed
            reception.end();
        }
    }

    @Override
    public void end(Reception reception) {
        ending.add(reception);
        selector.wakeup();
    }

    @Override
    public void retry() {
        retry.set(true);
        if (!Thread.currentThread().equals(thread)) {
            selector.wakeup(); // else it looks before it waits
        }
    }

    @Override
    @SuppressWarnings("ThreadPriorityCheck") // the yield is for speed alone
    public void run() {
        thread = Thread.currentThread();
        try {
            while (!closed) {
                Thread.yield(); // writers that share this processor fill their sockets before it asks
                selector.select(key -> turn((Reception) key.attachment()));
                takeIn();
                for (Reception next = ending.poll(); next != null; next = ending.poll()) {
                    over(next);
                }
                while (retry.getAndSet(false)) { // one that found a place may make room for the next
                    retryParked();
                }
            }
        } catch (IOException e) {
            throw new UncheckedIOException("cannot wait for connections", e);
        } finally {
            closed = true;
            takeIn();
            for (Reception each : List.copyOf(all)) {
                over(each);
            }
            Bytes.closeQuietly(selector);
        }
    }

    private void takeIn() {
        for (Reception next = arriving.poll(); next != null; next = arriving.poll()) {
            all.add(next);
            try {
                next.register(selector);
            } catch (IOException | ClosedSelectorException e) {
                over(next);
            }
        }
    }

    private void turn(Reception reception) {
        switch (reception.turn()) {
            case GOES_ON -> { }
            case PARKED -> parked.add(reception);
            case OVER -> {
                all.remove(reception);
                parked.remove(reception);
            }
        }
    }

    private void retryParked() {
        for (int left = parked.size(); left > 0; left--) {
            turn(parked.remove());
        }
    }

    private void over(Reception reception) {
        if (all.remove(reception)) {
            parked.remove(reception);
            reception.end();
        }
    }

    /** Ends the loop and its connections. */
    @Override
    public void close() {
        closed = true;
        selector.wakeup();
    }
}
