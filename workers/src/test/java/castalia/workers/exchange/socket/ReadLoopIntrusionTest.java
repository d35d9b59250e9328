package castalia.workers.exchange.socket;

import org.junit.jupiter.api.extension.ExtendWith;

/** What the class above shows, of connections that a loop reads. */
@ExtendWith(ManyRanks.class)
class ReadLoopIntrusionTest extends IntrusionTest {}
