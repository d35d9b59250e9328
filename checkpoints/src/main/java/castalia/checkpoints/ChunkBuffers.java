package castalia.checkpoints;

import castalia.checkpoints.CheckpointReader.Kind;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;

/** Native memory for the content of one chunk: fp32 elements, as many of each kind. */
record ChunkBuffers(MemorySegment weights, MemorySegment first, MemorySegment second) {

    static ChunkBuffers allocate(Arena arena, int elements) {
        long bytes = (long) elements * Float.BYTES;
        return new ChunkBuffers(
                arena.allocate(bytes, Long.BYTES),
                arena.allocate(bytes, Long.BYTES),
                arena.allocate(bytes, Long.BYTES));
    }

    /** The leading part, for a smaller chunk. */
    ChunkBuffers leading(int elements) {
        long bytes = (long) elements * Float.BYTES;
        return new ChunkBuffers(
                weights.asSlice(0, bytes), first.asSlice(0, bytes), second.asSlice(0, bytes));
    }

    MemorySegment of(Kind kind) {
        return switch (kind) {
            case WEIGHTS -> weights;
            case FIRST_MOMENTS -> first;
            case SECOND_MOMENTS -> second;
        };
    }
}
