package castalia.workers.rank;

import static org.assertj.core.api.Assertions.assertThat;

import castalia.kernels.DType;
import castalia.kernels.Device;
import castalia.protocol.layout.ChunkGrid;
import castalia.protocol.layout.FlatLayout;
import castalia.protocol.layout.LayerWindows;
import castalia.protocol.layout.LocalSpace;
import castalia.protocol.layout.ParallelLayout;
import castalia.protocol.layout.Placement;
import castalia.protocol.layout.SliceBlock;
import castalia.protocol.model.Gelu;
import castalia.protocol.model.ModelShape;
import castalia.workers.exchange.FrameTag;
import castalia.workers.exchange.Transport;
import castalia.workers.state.HeldChunks;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Set;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.Test;

/** When layers are asked for, and what windows hold meanwhile. */
class FetchedLayersTest {

    private static final int LAYERS = 5;
    private static final ChunkGrid GRID = ChunkGrid.of(FlatLayout.of(
            new ModelShape(LAYERS, 24, 4, 80, 102, 20, 4, 10000, 1e-5, true, Gelu.ERF, 1), 1));

    /** Remembers which layers are under way; what is fetched is the version that was asked for. */
    private static final class Asked implements Transport {

        final List<Integer> layers = new ArrayList<>();
        final Set<FrameTag> underWay = new HashSet<>();
        final Set<FrameTag> all = new HashSet<>();

        @Override
        public int rank() {
            return 0;
        }

        @Override
        public int ranks() {
            return 2;
        }

        @Override
        public void fetch(int from, FrameTag tag, MemorySegment into) {
            assertThat(from).isEqualTo(1);
            assertThat(all.add(tag)).as("never used before: %s", tag).isTrue();
            underWay.add(tag);
            int layer = GRID.chunk(tag.chunk()).layer();
            if (layers.isEmpty() || layers.getLast() != layer) {
                layers.add(layer);
            }
        }

        @Override
        public void fetched(int from, FrameTag tag, MemorySegment into) {
            assertThat(underWay.remove(tag)).isTrue();
            into.fill((byte) (tag.step() + tag.chunk()));
        }

        boolean isUnderWay(int layer) {
            return underWay.stream().anyMatch(tag -> GRID.chunk(tag.chunk()).layer() == layer);
        }

        @Override
        public void send(int to, FrameTag tag, MemorySegment payload) {
            throw new AssertionError(tag);
        }

        @Override
        public void receive(int from, FrameTag tag, MemorySegment into) {
            throw new AssertionError(tag);
        }

        @Override
        public void drain() {}

        @Override
        public void drain(int to) {}

        @Override
        public long waitedNanos() {
            return 0;
        }

        @Override
        public void serve(long version, @Nullable MemorySegment[] chunks) {}

        @Override
        public void withdraw() {}

        @Override
        public long sentBytes() {
            return 0;
        }

        @Override
        public void close() {}
    }

    /** A rank that owns the first chunk of every layer. */
    private static Placement placement() {
        int[] owners = new int[GRID.size()];
        for (int c = 0; c < owners.length; c++) {
            boolean first = c == 0 || GRID.chunk(c - 1).layer() != GRID.chunk(c).layer();
            owners[c] = first && GRID.chunk(c).layer() > 0 ? 0 : 1;
        }
        return Placement.of(new ParallelLayout(2, 1, 3, 0), 4, 1, 2,
                Placement.Holdings.of(GRID, owners));
    }

    @Test
    void everyLayerIsOnItsWayWhileTheOneBeforeComputesAndNoneIsOverwrittenWhileItIsUsed() {
        Placement placement = placement();
        Asked asked = new Asked();
        try (Device device = TinyRun.devices(1).apply(0);
                HeldChunks held = new HeldChunks(GRID, device.kernels(), device::arena);
                ComputeWeights weights =
                        new ComputeWeights(held, GRID, DType.BF16, device::arena)) {
            LocalSpace space = new LocalSpace(GRID, SliceBlock.all(GRID.layout()));
            weights.use(space, true);
            weights.own(placement, 0);
            FetchedLayers layers = new FetchedLayers(3, placement, asked, held, weights,
                    device.kernels());
            LayerWindows windows = new LayerWindows(space);
            for (long version = 4; version < 6; version++) {
                layers.version(version);
                for (int chunk : placement.owned(0)) {
                    weights.of(chunk).segment().fill((byte) (version + chunk));
                }
                for (int pass = 0; pass < 3; pass++) {
                    layers.followed(pass < 2);
                    layers.begin(true);
                    for (int p = 0; p < 2 * LAYERS + 2; p++) {
                        int layer = p < LAYERS + 2 ? p : 2 * LAYERS + 2 - p;
                        boolean ready = !asked.isUnderWay(layer);
                        asked.layers.clear();
                        layers.need(layer);
                        requireThere(weights, layer, version);
                        assertThat(asked.isUnderWay(layer)).isFalse();
                        if (pass + p == 0) {
                            assertThat(asked.layers).containsExactly(0, 1, 2);
                        } else {
                            assertThat(asked.layers).as("asked for at layer %d", layer)
                                    .allMatch(l -> windows.window(l) != windows.window(layer))
                                    .doesNotContain(layer);
                            assertThat(ready).as("layer %d, position %d", layer, p).isEqualTo(
                                    p == LAYERS + 2 || p == LAYERS + 3
                                            || pass > 0 && (p == 1 || p == 2));
                        }
                    }
                }
                assertThat(asked.underWay).isEmpty();
            }
        }
    }

    private static void requireThere(ComputeWeights weights, int layer, long version) {
        for (int c = 0; c < GRID.size(); c++) {
            if (GRID.chunk(c).layer() == layer) {
                byte[] bytes = weights.views().chunk(c).segment()
                        .toArray(ValueLayout.JAVA_BYTE);
                assertThat(bytes).as("chunk %d", c).containsOnly((byte) (version + c));
            }
        }
    }
}
