package castalia.deploy.bench.determinism;

import static org.assertj.core.api.Assertions.assertThat;

import castalia.workers.exchange.FrameTag;
import castalia.workers.exchange.FrameTag.Kind;
import castalia.workers.exchange.LocalTransport;
import castalia.workers.exchange.Transport;
import java.lang.foreign.MemorySegment;
import java.time.Duration;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

@Timeout(value = 1, unit = TimeUnit.MINUTES)
class ArrivalOrderTransportTest {

    private static FrameTag tag(Kind kind, int rank) {
        return new FrameTag(kind, 1, 5, 0, 7, rank);
    }

    private static MemorySegment bytes(int value) {
        return MemorySegment.ofArray(new byte[] {(byte) value});
    }

    @Test
    void gradientsAreGivenInTheOrderOfArrivalAndNothingElseIs() {
        LocalTransport[] local = LocalTransport.connect(3, Duration.ofSeconds(30));
        Arrivals arrivals = new Arrivals();
        Transport owner = new ArrivalOrderTransport(local[0], arrivals);
        for (int rank : new int[] {2, 1}) {
            Transport sender = new ArrivalOrderTransport(local[rank], arrivals);
            sender.send(0, tag(Kind.PARTIAL_GRADIENT, rank), bytes(rank));
            sender.send(0, tag(Kind.VOTE, rank), bytes(10 + rank));
        }
        byte[] into = new byte[1];
        for (int expected : new int[] {2, 1}) {
            owner.receive(3 - expected, tag(Kind.PARTIAL_GRADIENT, 3 - expected),
                    MemorySegment.ofArray(into));
            assertThat(into).containsExactly(expected);
        }
        for (int rank = 1; rank < 3; rank++) {
            owner.receive(rank, tag(Kind.VOTE, rank), MemorySegment.ofArray(into));
            assertThat(into).containsExactly(10 + rank);
        }
    }
}
