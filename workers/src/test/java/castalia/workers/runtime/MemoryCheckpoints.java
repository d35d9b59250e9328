package castalia.workers.runtime;

import castalia.protocol.checkpoint.ChunkEntry;
import castalia.protocol.layout.ChunkGrid;
import castalia.protocol.step.ScalarState;
import castalia.protocol.step.StateDigest;
import java.io.FileNotFoundException;
import java.io.IOException;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;

/** Checkpoints in memory, by step and chunk. */
final class MemoryCheckpoints implements CheckpointPort {

    int mostUnpublished = 256;
    private final ChunkGrid grid;
    private final Map<Long, Map<Integer, Stored>> steps = new ConcurrentHashMap<>();
    private final Map<Long, ScalarState> scalars = new ConcurrentHashMap<>();

    private record Stored(StateDigest digest, float[] weights, float[] first, float[] second) {}

    MemoryCheckpoints(ChunkGrid grid) {
        this.grid = grid;
    }

    @Override
    public Writing begin(ScalarState state) {
        scalars.put(state.step(), state);
        Map<Integer, Stored> chunks =
                steps.computeIfAbsent(state.step(), _ -> new ConcurrentHashMap<>());
        return new Writing() {
            @Override
            public ChunkEntry add(int chunk, StateDigest digest, MemorySegment weights,
                    MemorySegment first, MemorySegment second) {
                chunks.put(chunk, new Stored(
                        digest, floats(weights), floats(first), floats(second)));
                return new ChunkEntry(grid.chunk(chunk),
                        String.format("%064x", chunk + 1), weights.byteSize(), digest);
            }

            @Override
            public void settle() {}
        };
    }

    @Override
    public int mostUnpublished() {
        return mostUnpublished;
    }

    private static float[] floats(MemorySegment from) {
        return from.toArray(ValueLayout.JAVA_FLOAT);
    }

    @Override
    public Reading open(long step) throws IOException {
        Map<Integer, Stored> chunks = steps.get(step);
        if (chunks == null) {
            throw new FileNotFoundException("no checkpoint of step " + step);
        }
        return new Reading() {
            @Override
            public ScalarState scalars() {
                return scalars.get(step);
            }

            @Override
            public StateDigest digest(int chunk) {
                return chunks.get(chunk).digest();
            }

            @Override
            public void read(int chunk, MemorySegment weights, MemorySegment first,
                    MemorySegment second) {
                weights.copyFrom(MemorySegment.ofArray(chunks.get(chunk).weights()));
                first.copyFrom(MemorySegment.ofArray(chunks.get(chunk).first()));
                second.copyFrom(MemorySegment.ofArray(chunks.get(chunk).second()));
            }
        };
    }
}
