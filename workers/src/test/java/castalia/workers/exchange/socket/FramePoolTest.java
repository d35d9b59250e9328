package castalia.workers.exchange.socket;

import static org.assertj.core.api.Assertions.assertThat;

import castalia.workers.exchange.socket.FramePool.Lease;
import java.util.Objects;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

class FramePoolTest {

    private static Lease take(FramePool pool, long bytes) {
        return Objects.requireNonNull(pool.take(bytes), "no room");
    }

    @ParameterizedTest
    @CsvSource({"0, 4096", "1, 4096", "4096, 4096", "4097, 8192", "1073741824, 1073741824"})
    void buffersArePowersOfTwo(long payload, long buffer) {
        assertThat(FramePool.bufferBytes(payload)).isEqualTo(buffer);
    }

    @Test
    void theSumIsBoundedAndRoomComesBack() {
        try (FramePool pool = new FramePool(3 * 4096)) {
            Lease one = take(pool, 1);
            Lease two = take(pool, 5000);
            assertThat(pool.take(1)).isNull();
            assertThat(pool.used()).isEqualTo(3 * 4096);
            assertThat(two.segment().byteSize()).isEqualTo(5000);
            two.release();
            assertThat(pool.take(8193)).isNull();
            take(pool, 4096).release();
            take(pool, 4096);
            take(pool, 10);
            assertThat(pool.take(0)).isNull();
            one.release();
            assertThat(pool.used()).isEqualTo(2 * 4096);
        }
    }

    @Test
    void aBufferIsUsedAgainAndAKeptOneMakesRoomForAnotherSize() {
        try (FramePool pool = new FramePool(16384)) {
            Lease first = take(pool, 16384);
            first.release();
            assertThat(take(pool, 9000)).isSameAs(first);
            assertThat(first.segment().byteSize()).isEqualTo(9000);
            first.release();
            Lease small = take(pool, 1);
            assertThat(pool.used()).isEqualTo(4096);
            assertThat(small.segment().byteSize()).isEqualTo(1);
            assertThat(pool.take(16384)).isNull();
            small.release();
            assertThat(take(pool, 16384)).isNotSameAs(first);
        }
    }

    @Test
    void aClosedPoolGivesNothingAndTakesBack() {
        FramePool pool = new FramePool(8192);
        Lease lease = take(pool, 1);
        pool.close();
        assertThat(pool.take(1)).isNull();
        lease.release();
        assertThat(pool.used()).isZero();
    }
}
