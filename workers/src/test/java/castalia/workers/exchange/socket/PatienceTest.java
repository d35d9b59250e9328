package castalia.workers.exchange.socket;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import castalia.protocol.identity.Endpoint;
import castalia.protocol.identity.Incarnation;
import castalia.protocol.identity.Member;
import castalia.workers.exchange.PeerLostException;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.locks.LockSupport;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

/** How long a rank waits for others, and whom it suspects meanwhile. */
@Timeout(60)
class PatienceTest {

    private static final Duration DEADLINE = Duration.ofMillis(100);

    private final List<String> suspected = new ArrayList<>();

    private Patience patience(Duration patience) {
        Endpoint nowhere = new Endpoint("127.0.0.1", 1, Optional.empty());
        List<Member> members = List.of(
                Planes.member(new Incarnation(1), 0, nowhere),
                Planes.member(new Incarnation(2), 1, nowhere));
        Membership membership = new Membership(Planes.FIRST, members, 0, () -> patience,
                (about, broken, what) -> suspected.add(about.name() + " " + broken + " " + what));
        return new Patience(membership, DEADLINE.toNanos(), () -> {}, () -> {});
    }

    private static boolean parked(long nanos) {
        long end = System.nanoTime() + nanos;
        for (long left = nanos; left > 0; left = end - System.nanoTime()) {
            LockSupport.parkNanos(left);
        }
        return false;
    }

    @Test
    void whoMovesMayTakeLongerThanTheDeadline() {
        long end = System.nanoTime() + 4 * DEADLINE.toNanos();
        patience(Planes.LONG).await(() -> 1, () -> "a frame", (_, _) -> System.nanoTime(),
                nanos -> parked(nanos) || System.nanoTime() - end > 0);
        assertThat(System.nanoTime() - end).isPositive();
        assertThat(suspected).isEmpty();
    }

    @Test
    void whoIsSilentIsGivenUpByName() {
        long begun = System.nanoTime();
        assertThatThrownBy(() -> patience(Planes.LONG).await(
                () -> 1, () -> "a frame", (_, since) -> since, PatienceTest::parked))
                .isInstanceOfSatisfying(PeerLostException.class,
                        lost -> assertThat(lost.peer()).isEqualTo(1))
                .hasMessage("rank 1 (w1@node): a frame did not come in time");
        assertThat(System.nanoTime() - begun).isGreaterThanOrEqualTo(DEADLINE.toNanos());
        assertThat(suspected).isEmpty();
    }

    /** A machine that stands still for a while lets both pass at once. */
    @Test
    void whoIsGivenUpWasSuspectedThoughPatienceAndDeadlineEndTogether() {
        assertThatThrownBy(() -> patience(DEADLINE.dividedBy(2)).await(
                () -> 1, () -> "a frame", (_, since) -> since,
                _ -> parked(TimeUnit.MILLISECONDS.toNanos(150))))
                .isInstanceOf(PeerLostException.class);
        assertThat(suspected).containsExactly("w1 false a frame");
    }
}
