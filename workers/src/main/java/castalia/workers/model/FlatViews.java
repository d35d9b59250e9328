package castalia.workers.model;

import castalia.kernels.Buffer;
import castalia.protocol.layout.Chunk;
import castalia.protocol.layout.ChunkGrid;
import castalia.protocol.layout.FlatLayout;
import castalia.protocol.layout.TensorSlice;
import castalia.protocol.model.Parameter.Role;
import java.util.EnumMap;
import java.util.Map;

/** One flat buffer over the whole parameter space, seen as tensor slices and as chunks. */
public final class FlatViews {

    private final Buffer flat;
    private final Map<Role, Buffer[][]> bySlice;
    private final Buffer[] byChunk;

    /**
     * Makes the views once, so that no step allocates any.
     *
     * @throws IllegalArgumentException if the buffer's length is not that of the flat space
     */
    public FlatViews(ChunkGrid grid, Buffer flat) {
        FlatLayout layout = grid.layout();
        if (flat.elements() != layout.elements()) {
            throw new IllegalArgumentException("buffer of " + flat.elements()
                    + " elements for a flat space of " + layout.elements());
        }
        this.flat = flat;
        int layers = layout.shape().layers() + 2;
        this.bySlice = new EnumMap<>(Role.class);
        for (TensorSlice slice : layout.slices()) {
            bySlice.computeIfAbsent(slice.parameter().role(),
                    _ -> new Buffer[layers][layout.tensorSlices()])
                    [slice.parameter().layer()][slice.slice()] =
                    flat.slice(slice.offset(), slice.elements());
        }
        this.byChunk = new Buffer[grid.size()];
        for (Chunk chunk : grid.chunks()) {
            byChunk[chunk.index()] = flat.slice(chunk.offset(), chunk.length());
        }
    }

    /** The whole space. */
    public Buffer flat() {
        return flat;
    }

    /** A tensor slice; slice 0 for tensors that are not cut. */
    public Buffer slice(Role role, int layer, int slice) {
        Buffer[][] ofRole = bySlice.get(role);
        Buffer found = ofRole == null ? null : ofRole[layer][slice];
        if (found == null) {
            throw new IllegalArgumentException(
                    "no tensor slice " + slice + " of " + role + " in layer " + layer);
        }
        return found;
    }

    /** A chunk. */
    public Buffer chunk(int index) {
        return byChunk[index];
    }
}
