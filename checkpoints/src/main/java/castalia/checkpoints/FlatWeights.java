package castalia.checkpoints;

import java.io.IOException;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;

/** The fp32 weights of a model in the order of its flat layout, wherever they lie. */
public interface FlatWeights {

    /**
     * Fills a segment with consecutive elements; padding reads as zero.
     *
     * @param offset first element in the flat space
     * @param destination fp32 elements in native order; its size is a multiple of 4 bytes
     */
    void read(long offset, MemorySegment destination) throws IOException;

    /** Weights that lie in memory; {@code flat} holds every element of the layout. */
    static FlatWeights of(MemorySegment flat) {
        return (offset, destination) -> MemorySegment.copy(
                flat, offset * ValueLayout.JAVA_FLOAT.byteSize(),
                destination, 0, destination.byteSize());
    }
}
