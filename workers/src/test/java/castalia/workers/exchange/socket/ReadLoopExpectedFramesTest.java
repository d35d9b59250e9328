package castalia.workers.exchange.socket;

import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;

/** What {@link ExpectedFramesTest} shows, where a loop reads what a peer sends. */
class ReadLoopExpectedFramesTest extends ExpectedFramesTest {

    @BeforeEach
    void manyRanks() {
        RawPeer.ranks = 3;
    }

    @AfterEach
    void twoRanks() {
        RawPeer.ranks = 2;
    }
}
