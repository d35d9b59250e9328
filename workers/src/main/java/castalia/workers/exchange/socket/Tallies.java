package castalia.workers.exchange.socket;

import castalia.workers.exchange.DataPlane.Counters;
import java.util.concurrent.atomic.LongAdder;

/** What is counted, by many threads. */
final class Tallies {

    final LongAdder sentBytes = new LongAdder();
    final LongAdder receivedBytes = new LongAdder();
    final LongAdder staleFrames = new LongAdder();
    final LongAdder refused = new LongAdder();

    Counters counters() {
        return new Counters(
                sentBytes.sum(), receivedBytes.sum(), staleFrames.sum(), refused.sum());
    }
}
