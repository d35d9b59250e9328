package castalia.actors.heartbeat;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import castalia.actors.Tests;
import castalia.actors.heartbeat.Heartbeats.Lost;
import castalia.protocol.CastaliaException;
import castalia.protocol.control.Heartbeat.Ping;
import castalia.protocol.control.Heartbeat.Pong;
import castalia.protocol.identity.Claimant;
import castalia.protocol.identity.Incarnation;
import castalia.protocol.wire.HeartbeatCodec;
import java.io.IOException;
import java.net.InetAddress;
import java.net.ServerSocket;
import java.net.Socket;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Random;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

@Tag("default")
@Timeout(90)
class HeartbeatsTest {

    private static final Incarnation SELF = new Incarnation(5);
    private static final Pace BRIEF =
            new Pace(Duration.ofMillis(20), Duration.ofMillis(700), Duration.ofMillis(200),
                    Duration.ofMillis(900));

    /** A machine that stalls for a while deposes nobody. */
    private static final Pace PATIENT = new Pace(Duration.ofMillis(20), Duration.ofMillis(700),
            Duration.ofSeconds(20), Duration.ofSeconds(30));

    private Heartbeats leader = Heartbeats.open("127.0.0.1", SELF, BRIEF);
    private Heartbeats other = Heartbeats.open("127.0.0.1", new Incarnation(6), BRIEF);
    private final BlockingQueue<Lost> lost = new LinkedBlockingQueue<>();

    @AfterEach
    void close() {
        leader.close();
        other.close();
    }

    private void reopen(Pace pace) {
        close();
        leader = Heartbeats.open("127.0.0.1", SELF, pace);
        other = Heartbeats.open("127.0.0.1", new Incarnation(6), pace);
    }

    private Claimant claimant() {
        return Tests.claimant("far", 5, leader);
    }

    private Socket connect() throws IOException {
        Socket socket = new Socket(InetAddress.getLoopbackAddress(), leader.port());
        socket.setSoTimeout(10_000);
        return socket;
    }

    private Pong ask(Socket socket, Incarnation whom, long sequence) throws Exception {
        Frames.write(socket, HeartbeatCodec.encode(new Ping(whom, sequence)));
        return HeartbeatCodec.decodePong(Frames.read(socket));
    }

    private void awaitRefused(long count) throws InterruptedException {
        awaitAtLeastRefused(count);
        assertThat(leader.refused()).isEqualTo(count);
    }

    private void awaitAtLeastRefused(long count) throws InterruptedException {
        while (leader.refused() < count) {
            TimeUnit.MILLISECONDS.sleep(5);
        }
    }

    /** For a while. */
    private void requireNoLoss() throws InterruptedException {
        assertThat(lost.poll(300, TimeUnit.MILLISECONDS)).isNull();
    }

    private void requireUnharmed() throws Exception {
        leader.beat(3);
        try (Socket socket = connect()) {
            assertThat(ask(socket, SELF, 8)).isEqualTo(new Pong(SELF, 8, 3));
        }
    }

    @Test
    void whoLeadsSaysSoAndWhoseCoordinatorIsStuckDoesNot() throws Exception {
        try (Socket socket = connect()) {
            assertThat(ask(socket, SELF, 1).term()).isZero();
            Pong leading;
            do { // where the machine stalls, the beat is old before the answer
                leader.beat(4);
                leading = ask(socket, SELF, 2);
            } while (leading.term() != 4);
            assertThat(leading).isEqualTo(new Pong(SELF, 2, 4));
            TimeUnit.MILLISECONDS.sleep(1000); // without a beat
            assertThat(ask(socket, SELF, 3).term()).isZero();
            leader.beat(4);
            leader.rest();
            assertThat(ask(socket, SELF, 4).term()).isZero();
        }
    }

    @Test
    void garbageOversizedFramesAndWrongAddresseesAreRefusedCountedAndHarmless() throws Exception {
        reopen(PATIENT);
        Random random = new Random(3);
        for (int i = 0; i < 40; i++) {
            byte[] garbage = new byte[2 + random.nextInt(3000)];
            random.nextBytes(garbage);
            garbage[0] = (byte) (i % 2 == 0 ? 200 : 1 + i % 2); // too long, or no message
            try (Socket socket = connect()) {
                socket.getOutputStream().write(garbage);
                assertThat(cut(socket)).isTrue();
            }
            awaitRefused(i + 1);
        }
        try (Socket socket = connect()) {
            Frames.write(socket, HeartbeatCodec.encode(new Ping(new Incarnation(77), 1)));
            assertThat(cut(socket)).isTrue();
        }
        awaitRefused(41);
        requireUnharmed();
    }

    private static boolean cut(Socket socket) {
        try {
            return socket.getInputStream().read() < 0;
        } catch (IOException e) {
            return true; // reset, because bytes were left unread
        }
    }

    /** A watcher that begins beside them is answered, and those that watch are not disturbed. */
    @Test
    void idleStrangersMakeRoomAndDeposeNobody() throws Exception {
        reopen(PATIENT);
        leader.beat(3);
        List<Socket> idle = new ArrayList<>();
        try (Heartbeats.Watch _ = other.watch(3, claimant(), lost::add)) {
            awaitWatched();
            for (int i = 0; i < 70; i++) {
                idle.add(connect());
            }
            awaitAtLeastRefused(6); // more where the machine stalls: they may not stay for ever
            assertThat(cut(idle.getFirst())).isTrue();
            try (Heartbeats.Watch _ = other.watch(3, claimant(), lost::add);
                    Socket socket = connect()) {
                for (int i = 0; i < 60; i++) { // longer than silence is borne
                    leader.beat(3);
                    assertThat(ask(socket, SELF, i).term()).isEqualTo(3);
                    TimeUnit.MILLISECONDS.sleep(20);
                }
            }
            assertThat(lost).isEmpty();
        }
        for (Socket socket : idle) {
            assertThat(cut(socket)).isTrue();
        }
        awaitRefused(70);
    }

    /** Who asks as one too many is turned away; those before it are answered on. */
    @Test
    void moreWatchersThanARunHasNodesAreTurnedAway() throws Exception {
        reopen(PATIENT);
        leader.beat(3);
        List<Socket> watchers = new ArrayList<>();
        try {
            for (int i = 0; i < 64; i++) {
                watchers.add(connect());
                assertThat(ask(watchers.getLast(), SELF, i).sequence()).isEqualTo(i);
            }
            try (Socket late = connect()) {
                Frames.write(late, HeartbeatCodec.encode(new Ping(SELF, 1)));
                assertThat(cut(late)).isTrue();
            }
            awaitRefused(1);
            for (Socket watcher : watchers) {
                leader.beat(3);
                assertThat(ask(watcher, SELF, 7)).isEqualTo(new Pong(SELF, 7, 3));
            }
        } finally {
            watchers.forEach(Heartbeats::close);
        }
        boolean answered = false;
        while (!answered) { // as soon as the seats of those that left are free
            try (Socket next = connect()) {
                Frames.write(next, HeartbeatCodec.encode(new Ping(SELF, 9)));
                answered = !cut(next);
            }
        }
    }

    private void awaitWatched() throws InterruptedException {
        while (leader.leadsUnwatched()) {
            leader.beat(3);
            TimeUnit.MILLISECONDS.sleep(5);
        }
    }

    @Test
    void whoAsksAndDoesNotReadIsCutOff() throws Exception {
        reopen(PATIENT);
        try (Socket socket = connect()) {
            byte[] ping = HeartbeatCodec.encode(new Ping(SELF, 1));
            assertThatThrownBy(() -> {
                while (true) {
                    Frames.write(socket, ping);
                }
            }).isInstanceOf(IOException.class);
        }
        awaitRefused(1);
        requireUnharmed();
    }

    @Test
    void whoLeadsKnowsWhetherAnotherStandsBy() throws Exception {
        reopen(PATIENT);
        assertThat(leader.leadsUnwatched()).isFalse();
        leader.beat(2);
        assertThat(leader.leadsUnwatched()).isTrue();
        Heartbeats.Watch watch = other.watch(2, claimant(), lost::add);
        while (leader.leadsUnwatched()) {
            leader.beat(2);
            TimeUnit.MILLISECONDS.sleep(5);
        }
        watch.close();
        while (!leader.leadsUnwatched()) {
            leader.beat(2);
            TimeUnit.MILLISECONDS.sleep(5);
        }
        assertThat(lost).isEmpty();
    }

    @Test
    void theEndOfAProcessIsSeenOnce() throws Exception {
        reopen(PATIENT);
        leader.beat(2);
        try (Heartbeats.Watch _ = other.watch(2, claimant(), lost::add)) {
            requireNoLoss();
            leader.close();
            assertThat(Tests.take(lost).how()).contains("far (pid 5)", "connection broke");
            requireNoLoss();
        }
    }

    @Test
    void silenceIsSeenThoughTheConnectionStands() throws Exception {
        try (ServerSocket hung = new ServerSocket(0, 5, InetAddress.getLoopbackAddress())) {
            Claimant claimant =
                    new Claimant(SELF, "far", "127.0.0.1", hung.getLocalPort(), "pid 5");
            try (Heartbeats.Watch _ = other.watch(2, claimant, lost::add)) {
                assertThat(Tests.take(lost)).isEqualTo(
                        new Lost(2, "far (pid 5) is lost: it was silent for more than 700 ms"));
            }
        }
    }

    @Test
    void whoDoesNotLeadWhatItClaimedIsLost() throws Exception {
        reopen(PATIENT);
        try (Heartbeats.Watch _ = other.watch(2, claimant(), lost::add)) {
            assertThat(Tests.take(lost).how()).contains("does not begin to lead");
        }
        Claimant imposter = new Claimant(
                new Incarnation(9), "far", "127.0.0.1", leader.port(), "pid 5");
        try (Heartbeats.Watch _ = other.watch(2, imposter, lost::add)) {
            assertThat(Tests.take(lost).how()).contains("connection broke");
        }
    }

    /** Where a machine stood still, an answer may come before the coordinator's next beat. */
    @Test
    void whoLedAndDoesAgainInAMomentIsNotLost() throws Exception {
        reopen(PATIENT);
        leader.beat(2);
        try (Heartbeats.Watch _ = other.watch(2, claimant(), lost::add)) {
            requireNoLoss();
            leader.rest();
            requireNoLoss();
            leader.beat(2);
            requireNoLoss();
        }
    }

    @Test
    void aWatchThatIsClosedSaysNothing() throws Exception {
        leader.beat(2);
        other.watch(2, claimant(), lost::add).close();
        leader.close();
        assertThat(lost.poll(1, TimeUnit.SECONDS)).isNull();
    }

    @Test
    void aHostThatIsNotThisMachineIsNamed() {
        assertThatThrownBy(() -> Heartbeats.open("192.0.2.1", SELF, BRIEF))
                .isInstanceOf(CastaliaException.class)
                .hasMessageStartingWith("cannot listen for heartbeats on 192.0.2.1: ");
    }
}
