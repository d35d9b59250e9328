package castalia.workers.exchange.socket;

import java.util.concurrent.Semaphore;

/** Reads one connection, whose channel blocks, on a thread of its own. */
final class ReadThread implements Reader {

    private final Semaphore retries = new Semaphore(0);
    private volatile boolean ended;

    /** Reads until it is over. */
    void run(Reception reception) {
        while (!ended) {
            switch (reception.turn()) {
                case GOES_ON -> { }
                case PARKED -> retries.acquireUninterruptibly();
                case OVER -> {
                    return;
                }
            }
        }
        reception.end();
    }

    @Override
    public void end(Reception reception) {
        ended = true;
        reception.close();
        retry();
    }

    @Override
    public void retry() {
        retries.release();
    }
}
