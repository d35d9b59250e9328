package castalia.workers.exchange.socket;

import org.junit.jupiter.api.extension.AfterEachCallback;
import org.junit.jupiter.api.extension.BeforeEachCallback;
import org.junit.jupiter.api.extension.ExtensionContext;

/** Has a loop read what a {@link RawPeer} sends. */
final class ManyRanks implements BeforeEachCallback, AfterEachCallback {

    @Override
    public void beforeEach(ExtensionContext context) {
        RawPeer.ranks = 3;
    }

    @Override
    public void afterEach(ExtensionContext context) {
        RawPeer.ranks = 2;
    }
}
