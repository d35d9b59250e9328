package castalia.workers.exchange.socket;

import static org.assertj.core.api.Assertions.assertThat;

import castalia.protocol.identity.Fence;
import castalia.workers.exchange.DataPlane.Parcel;
import castalia.workers.exchange.FrameTag;
import castalia.workers.exchange.FrameTag.Kind;
import castalia.workers.exchange.Transport;
import castalia.workers.exchange.socket.Planes.Way;
import java.lang.foreign.MemorySegment;
import java.nio.file.Path;
import java.time.Duration;
import java.util.List;
import java.util.Objects;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

/** Frames offered to learners, which never hold up a member. */
@Timeout(value = 1, unit = TimeUnit.MINUTES)
class LearnerFramesTest {

    private static final Duration WAIT = Duration.ofSeconds(30);

    @TempDir Path folder;

    private static FrameTag update(Fence fence, int chunk) {
        return new FrameTag(Kind.UPDATE, fence.generation(), 5, 0, chunk, 0);
    }

    @ParameterizedTest
    @EnumSource(Way.class)
    void offeredFramesArriveInOrder(Way way) {
        try (Planes planes = Planes.open(2, way, folder)) {
            planes.all.get(0).raise(Planes.FIRST);
            for (int i = 0; i < 300; i++) {
                while (!planes.all.get(0).offer(Planes.FIRST, planes.members.get(1),
                        update(Planes.FIRST, i), planes.memory(100, i), planes.memory(i, 7))) {
                    Thread.onSpinWait();
                }
            }
            for (int i = 0; i < 300; i++) {
                try (Parcel parcel = Objects.requireNonNull(planes.all.get(1).poll(WAIT))) {
                    assertThat(parcel.from()).isEqualTo(planes.members.get(0).incarnation());
                    assertThat(parcel.tag()).isEqualTo(update(Planes.FIRST, i));
                    assertThat(parcel.fence()).isEqualTo(Planes.FIRST);
                    MemorySegment payload = parcel.payload();
                    assertThat(payload.byteSize()).isEqualTo(100 + i);
                    assertThat(payload.asSlice(0, 100).mismatch(planes.memory(100, i)))
                            .isEqualTo(-1);
                    assertThat(payload.asSlice(100).mismatch(planes.memory(i, 7))).isEqualTo(-1);
                }
            }
            assertThat(planes.all.get(1).poll(Duration.ZERO)).isNull();
        }
    }

    @ParameterizedTest
    @EnumSource(Way.class)
    void aFrameLongerThanAPieceArrivesWhole(Way way) {
        int length = 3 * Piece.BYTES + 64;
        try (Planes planes = Planes.open(2, way, folder)) {
            planes.all.get(0).raise(Planes.FIRST);
            assertThat(planes.all.get(0).offer(Planes.FIRST, planes.members.get(1),
                    update(Planes.FIRST, 1), planes.memory(length, 3))).isTrue();
            try (Parcel parcel = Objects.requireNonNull(planes.all.get(1).poll(WAIT))) {
                assertThat(parcel.payload().byteSize()).isEqualTo(length);
                assertThat(parcel.payload().mismatch(planes.memory(length, 3))).isEqualTo(-1);
            }
        }
    }

    @Test
    void aLearnerThatDoesNotTakeFillsBoundedMemoryAndHoldsUpNoMember() {
        try (Planes planes = Planes.open(2, Way.UNIX, folder)) {
            List<Transport> ranks = planes.join(Planes.FIRST, Planes.LONG);
            MemorySegment payload = planes.memory(1 << 20, 1);
            int chunk = 0;
            for (; chunk < Planes.BOUNDS.feedBytes() >> 20; chunk++) {
                assertThat(planes.all.get(0).offer(Planes.FIRST, planes.members.get(1),
                        update(Planes.FIRST, chunk), payload)).isTrue();
            }
            Planes.until(() -> planes.all.get(1).counters().receivedBytes()
                    == Planes.BOUNDS.feedBytes());
            while (planes.all.get(0).offer(
                    Planes.FIRST, planes.members.get(1), update(Planes.FIRST, chunk), payload)) {
                chunk++;
                assertThat(chunk).isLessThan(1000);
            }
            ranks.get(0).send(1, Planes.tag(Planes.FIRST, 1), payload);
            assertThat(planes.received(ranks.get(1), 0, Planes.tag(Planes.FIRST, 1), 1 << 20))
                    .hasSize(1 << 20);
            assertThat(planes.all.get(1).counters().receivedBytes())
                    .isEqualTo(Planes.BOUNDS.feedBytes() + (1 << 20));
            try (Parcel first = Objects.requireNonNull(planes.all.get(1).poll(WAIT))) {
                assertThat(first.tag()).isEqualTo(update(Planes.FIRST, 0));
            }
            planes.all.get(1).raise(Planes.SECOND);
            assertThat(planes.all.get(1).poll(Duration.ZERO)).isNull();
            Planes.until(() -> planes.all.get(1).counters().staleFrames() > 0);
        }
    }
}
