package castalia.workers.rank;

import static org.assertj.core.api.Assertions.assertThat;

import castalia.protocol.layout.ChunkGrid;
import castalia.protocol.layout.ParallelLayout;
import castalia.protocol.planner.Recomputation;
import castalia.protocol.specification.TrainingPlan;
import castalia.protocol.step.StateDigest;
import castalia.workers.data.BatchShape;
import castalia.workers.data.BatchSource;
import castalia.workers.exchange.FrameTag;
import castalia.workers.exchange.FrameTag.Kind;
import castalia.workers.exchange.LocalTransport;
import castalia.workers.exchange.Transport;
import castalia.workers.rank.TinyRun.Layout;
import java.lang.foreign.MemorySegment;
import java.lang.reflect.InvocationTargetException;
import java.lang.reflect.Proxy;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** New weights are taken while the next step begins, layer by layer. */
@Timeout(value = 1, unit = TimeUnit.MINUTES)
class WeightsOnTheirWayTest {

    private static final TrainingPlan PLAN = TinyRun.plan(TinyRun.shape()).build();
    private static final ChunkGrid GRID = RankSettings.of(PLAN, Recomputation.NONE).grid();
    private static final int BATCH = -1;

    /** Notes the layers whose weights are received. */
    private static Transport noting(LocalTransport to, List<Integer> events) {
        return (Transport) Proxy.newProxyInstance(Transport.class.getClassLoader(),
                new Class<?>[] {Transport.class}, (_, method, arguments) -> {
                    if (method.getName().equals("receive")
                            && arguments[1] instanceof FrameTag tag && tag.kind() == Kind.WEIGHTS) {
                        events.add(GRID.chunk(tag.chunk()).layer());
                    }
                    try {
                        return method.invoke(to, arguments);
                    } catch (InvocationTargetException e) {
                        throw e.getCause();
                    }
                });
    }

    /** Notes when a batch is read, which is right before its pass. */
    private record Noting(BatchSource of, List<Integer> events) implements BatchSource {

        @Override
        public BatchShape shape() {
            return of.shape();
        }

        @Override
        public int vocabularySize() {
            return of.vocabularySize();
        }

        @Override
        public void fill(long step, int virtualRank, int microBatch, MemorySegment inputs,
                MemorySegment labels) {
            events.add(BATCH);
            of.fill(step, virtualRank, microBatch, inputs, labels);
        }

        @Override
        public List<String> description() {
            return of.description();
        }
    }

    @ParameterizedTest
    @CsvSource({"2, 0", "2, 1", "3, 1", "3, 2"})
    void aLayerIsTakenWhereAPassNeedsItFirstAndTheRestWhereNoPassFollows(int ranks, int zero) {
        List<StateDigest> expected = TinyRun.trace(PLAN, Layout.plain(), 3);
        try (Workers workers = new Workers(PLAN, ranks)) {
            List<List<Integer>> events = new ArrayList<>();
            workers.begin(new ParallelLayout(ranks, 1, zero, 0), (_, transport) -> {
                events.add(new ArrayList<>());
                return noting(transport, events.getLast());
            });
            workers.onAll(rank -> rank.loaded(rank.initialScalars()));
            List<BatchSource> sources = TinyRun.sources(PLAN, ranks);
            for (int s = 0; s < 2; s++) {
                events.forEach(List::clear);
                workers.onAll(rank -> rank.step(new Noting(
                        sources.get(rank.rank()), events.get(rank.rank()))));
            }
            for (int r = 0; r < ranks; r++) {
                List<Integer> second = events.get(r);
                List<Integer> layers =
                        second.stream().filter(layer -> layer != BATCH).toList();
                assertThat(second.getFirst()).isEqualTo(BATCH);
                assertThat(layers).isSorted();
                assertThat(layers.isEmpty()).isEqualTo(zero == 0);
                assertThat(workers.worker(r).weightsVersion())
                        .isEqualTo(zero == 0 ? 2 : TrainingRank.INCOMPLETE);
            }
            events.forEach(List::clear);
            workers.onAll(TrainingRank::settle);
            for (int r = 0; r < ranks; r++) {
                assertThat(events.get(r)).isSorted();
                assertThat(events.get(r).isEmpty()).isEqualTo(zero == 0);
                assertThat(workers.worker(r).weightsVersion()).isEqualTo(2);
            }
            workers.step();
            assertThat(workers.digest()).isEqualTo(expected.getLast());
        }
    }
}
