package castalia.workers.rank;

import static org.assertj.core.api.Assertions.assertThat;

import castalia.protocol.layout.ParallelLayout;
import castalia.protocol.model.Gelu;
import castalia.protocol.model.ModelShape;
import castalia.protocol.planner.PlacementTraffic;
import castalia.protocol.planner.RankTraffic;
import castalia.protocol.planner.Recomputation;
import castalia.protocol.planner.Traffic;
import castalia.protocol.planner.Workload;
import castalia.protocol.specification.Precision;
import castalia.protocol.specification.TrainingPlan;
import castalia.workers.exchange.FrameTag.Kind;
import castalia.workers.exchange.FrameTag;
import castalia.workers.exchange.LocalTransport;
import castalia.workers.exchange.Transport;
import java.lang.foreign.MemorySegment;
import java.util.ArrayList;
import java.util.EnumMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.TimeUnit;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** What transports carried in a step is what the planner says, by kind, to the byte. */
@Tag("default")
@Timeout(value = 2, unit = TimeUnit.MINUTES)
class LayoutTrafficTest {

    private static final int PER_NODE = 2;

    /** Payload bytes of one rank, by kind, and what of them crosses the border of its node. */
    private static final class Counted {
        private final Map<Kind, Long> all = new EnumMap<>(Kind.class);
        private final Map<Kind, Long> across = new EnumMap<>(Kind.class);

        synchronized void add(Kind kind, int from, int to, long bytes) {
            all.merge(kind, bytes, Long::sum);
            if (from / PER_NODE != to / PER_NODE) {
                across.merge(kind, bytes, Long::sum);
            }
        }

        static Traffic traffic(Map<Kind, Long> of) {
            return new Traffic(
                    of.getOrDefault(Kind.PARTIAL_GRADIENT, 0L),
                    of.getOrDefault(Kind.FINISHED_GRADIENT, 0L),
                    of.getOrDefault(Kind.WEIGHTS, 0L),
                    of.getOrDefault(Kind.SLICE, 0L),
                    of.getOrDefault(Kind.VOTE, 0L));
        }
    }

    /** {@code all} are those of all ranks: what is fetched is counted for its owner, too. */
    private record CountingTransport(
            LocalTransport to, Counted sent, Counted received, List<CountingTransport> all)
            implements Transport {

        @Override
        public int rank() {
            return to.rank();
        }

        @Override
        public int ranks() {
            return to.ranks();
        }

        @Override
        public void send(int receiver, FrameTag tag, MemorySegment payload) {
            sent.add(tag.kind(), rank(), receiver, payload.byteSize());
            to.send(receiver, tag, payload);
        }

        @Override
        public void receive(int from, FrameTag tag, MemorySegment into) {
            to.receive(from, tag, into);
            received.add(tag.kind(), from, rank(), into.byteSize());
        }

        @Override
        public void serve(long version, @Nullable MemorySegment[] chunks) {
            to.serve(version, chunks);
        }

        @Override
        public void withdraw() {
            to.withdraw();
        }

        @Override
        public void fetch(int from, FrameTag tag, MemorySegment into) {
            to.fetch(from, tag, into);
        }

        @Override
        public void fetched(int from, FrameTag tag, MemorySegment into) {
            to.fetched(from, tag, into);
            received.add(Kind.WEIGHTS, from, rank(), into.byteSize());
            all.get(from).sent.add(Kind.WEIGHTS, from, rank(), into.byteSize());
        }

        @Override
        public void drain() {
            to.drain();
        }

        @Override
        public void drain(int receiver) {
            to.drain(receiver);
        }

        @Override
        public long waitedNanos() {
            return to.waitedNanos();
        }

        @Override
        public long sentBytes() {
            return to.sentBytes();
        }

        @Override
        public void close() {
            to.close();
        }

        RankTraffic traffic() {
            return new RankTraffic(Counted.traffic(sent.all), Counted.traffic(received.all),
                    Counted.traffic(sent.across), Counted.traffic(received.across));
        }
    }

    /** More rows than the head sweeps at once, of a number that no degree divides. */
    private static TrainingPlan plan(boolean parallel, Precision precision) {
        ModelShape shape =
                new ModelShape(3, 32, 8, 96, 104, 149, 4, 10000, 1e-5, parallel, Gelu.TANH, 1);
        return TinyRun.in(TinyRun.plan(shape)
                .tensorSlices(4).virtualRanks(5).globalBatch(20).microBatch(2).build(), precision);
    }

    @ParameterizedTest
    @CsvSource({
        "1, 1, 0, 0, true, FP32", "4, 1, 0, 0, true, BF16", "3, 1, 1, 0, true, BF16",
        "4, 1, 1, 1, true, FP32", "5, 1, 1, 2, true, BF16", "4, 1, 2, 1, true, BF16",
        "3, 1, 2, 2, true, FP32", "1, 2, 1, 1, true, BF16", "2, 2, 0, 0, false, FP32",
        "3, 2, 1, 1, true, BF16", "1, 4, 1, 2, true, BF16", "2, 4, 2, 1, false, BF16",
        "2, 2, 2, 0, true, FP16", "2, 1, 3, 0, true, FP32", "4, 1, 3, 1, true, BF16",
        "3, 2, 3, 1, false, FP32", "2, 4, 3, 2, true, BF16"
    })
    void ranksGiveEachOtherWhatTheLayoutSays(
            int dataParallel, int tensorParallel, int zero, int buddies, boolean parallel,
            Precision precision) {
        TrainingPlan plan = plan(parallel, precision);
        ParallelLayout layout = new ParallelLayout(dataParallel, tensorParallel, zero, buddies);
        List<CountingTransport> transports = new ArrayList<>();
        try (Workers workers = new Workers(plan, layout.ranks())) {
            workers.begin(layout, (_, transport) -> {
                transports.add(new CountingTransport(
                        transport, new Counted(), new Counted(), transports));
                return transports.getLast();
            });
            workers.onAll(rank -> rank.loaded(rank.initialScalars()));
            transports.forEach(t -> {
                t.sent.all.clear();
                t.sent.across.clear();
                t.received.all.clear();
                t.received.across.clear();
            });
            workers.step();
            workers.onAll(TrainingRank::settle); // the last weights are taken
            List<RankTraffic> planned = PlacementTraffic.of(Workload.of(plan, Recomputation.NONE),
                    workers.members().getFirst().placement(), PER_NODE);
            for (int r = 0; r < layout.ranks(); r++) {
                assertThat(transports.get(r).traffic()).as("rank %d of %s", r, layout)
                        .isEqualTo(planned.get(r));
            }
        }
    }
}
