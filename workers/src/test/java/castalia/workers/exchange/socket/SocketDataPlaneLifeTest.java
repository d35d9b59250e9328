package castalia.workers.exchange.socket;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import castalia.protocol.CastaliaException;
import castalia.protocol.identity.Endpoint;
import castalia.protocol.identity.Incarnation;
import castalia.protocol.identity.Member;
import castalia.workers.exchange.AbandonedException;
import castalia.workers.exchange.FrameTag;
import castalia.workers.exchange.FrameTag.Kind;
import castalia.workers.exchange.Threads;
import castalia.workers.exchange.Transport;
import castalia.workers.exchange.socket.Planes.Way;
import java.lang.foreign.MemorySegment;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.List;
import java.util.Optional;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** How a data plane is opened and closed. */
@Timeout(value = 1, unit = TimeUnit.MINUTES)
class SocketDataPlaneLifeTest {

    private static final Duration WAIT = Duration.ofSeconds(30);

    @TempDir Path folder;

    @ParameterizedTest
    @ValueSource(booleans = {true, false})
    void nothingIsLeftAfterClosing(boolean waiting) throws Exception {
        Planes planes = Planes.open(3, Way.UNIX, folder);
        List<Transport> ranks = planes.join(Planes.FIRST, Planes.LONG);
        ranks.get(0).send(1, Planes.tag(Planes.FIRST, 1), planes.memory(10, 1));
        planes.received(ranks.get(1), 0, Planes.tag(Planes.FIRST, 1), 10);
        planes.all.get(2).offer(Planes.FIRST, planes.members.get(0),
                new FrameTag(Kind.UPDATE, Planes.FIRST.generation(), 5, 0, 1, 0),
                planes.memory(10, 1));
        assertThat(planes.all.get(0).poll(WAIT)).isNotNull();
        MemorySegment into = planes.memory(10, 1);
        CompletableFuture<?> blocked = waiting ? CompletableFuture.runAsync(
                () -> ranks.get(2).receive(0, Planes.tag(Planes.FIRST, 9), into), Threads.ALL) : null;
        try (var files = Files.list(folder)) {
            assertThat(files).hasSize(3);
        }
        planes.close();
        if (blocked != null) {
            assertThatThrownBy(blocked::join).hasCauseInstanceOf(AbandonedException.class);
        }
        for (Member member : planes.members) {
            Planes.until(() -> Planes.threadsOf(member).isEmpty());
        }
        try (var files = Files.list(folder)) {
            assertThat(files).isEmpty();
        }
        planes.all.get(0).close();
    }

    @Test
    void aStaleSocketFileIsReplacedAndALongPathIsDoneWithout() throws Exception {
        Incarnation life = new Incarnation(5);
        SocketSettings settings = SocketSettings.of(Planes.RUN, life, "node", _ -> {});
        Files.writeString(folder.resolve(life + ".sock"), "left over");
        try (SocketDataPlane plane =
                SocketDataPlane.open(settings.withSocketFolder(folder.toString()))) {
            assertThat(plane.endpoint().socket()).hasValue(
                    folder.resolve(life + ".sock").toString());
        }
        String deep = folder.resolve("x".repeat(90)).toString();
        try (SocketDataPlane plane = SocketDataPlane.open(settings.withSocketFolder(deep))) {
            assertThat(plane.endpoint().socket()).isEmpty();
            assertThat(plane.endpoint().port()).isPositive();
        }
    }

    @ParameterizedTest
    @ValueSource(strings = {"0.0.0.0", "192.0.2.1", "no such host"})
    void aHostItCannotListenAtIsNamed(String host) {
        SocketSettings settings = SocketSettings.of(
                Planes.RUN, new Incarnation(6), "node", _ -> {}).withHost(host);
        assertThatThrownBy(() -> SocketDataPlane.open(settings))
                .isInstanceOf(CastaliaException.class).hasMessageContaining(host);
        assertThat(Planes.threadsOf(Planes.member(new Incarnation(6), 0,
                new Endpoint("x", 1, Optional.empty())))).isEmpty();
    }
}
