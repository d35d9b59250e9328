package castalia.workers.model;

import castalia.kernels.Buffer;
import castalia.kernels.DType;
import castalia.protocol.layout.ChunkGrid;
import castalia.protocol.layout.FlatLayout;
import castalia.protocol.layout.LayerWindows;
import castalia.protocol.layout.LocalSpace;
import castalia.protocol.layout.TensorSlice;
import castalia.protocol.model.Parameter.Role;
import java.util.ArrayList;
import java.util.EnumMap;
import java.util.List;
import java.util.Map;
import java.util.function.LongFunction;
import java.util.stream.Stream;
import org.jspecify.annotations.Nullable;

/**
 * The part of the parameter space that a rank uses, seen as tensor slices and as chunks: one flat
 * buffer, or {@link LayerWindows} that layers share.
 */
public final class FlatViews {

    private final LocalSpace space;
    private final DType type;
    private final @Nullable Buffer flat;
    private final Map<Role, @Nullable Buffer[][]> bySlice;
    private final @Nullable Buffer[] byChunk;
    private final List<List<Buffer>> padding;

    /** Views of the whole space. */
    public FlatViews(ChunkGrid grid, Buffer flat) {
        this(LocalSpace.whole(grid), flat);
    }

    /**
     * Makes the views once, so that no step allocates any.
     *
     * @throws IllegalArgumentException if the buffer's length is not that of the space
     */
    public FlatViews(LocalSpace space, Buffer flat) {
        this(space, flat.type(), flat, (_, offset, count) -> flat.slice(offset, count));
        if (flat.elements() != space.elements()) {
            throw new IllegalArgumentException("buffer of " + flat.elements()
                    + " elements for a flat space of " + space.elements());
        }
    }

    /**
     * Views of layers that share windows.
     *
     * @param memory makes room for so many elements of a type
     */
    public static FlatViews windowed(LayerWindows windows, LongFunction<Buffer> memory) {
        Buffer[] rooms = new Buffer[LayerWindows.COUNT];
        for (int w = 0; w < rooms.length; w++) {
            rooms[w] = memory.apply(windows.elements(w));
        }
        return new FlatViews(windows.space(), rooms[0].type(), null, (layer, offset, count) ->
                rooms[windows.window(layer)].slice(offset - windows.first(layer), count));
    }

    /** Where elements of the flat space lie. */
    @FunctionalInterface
    private interface Memory {

        /** The memory of {@code count} elements of a layer, from {@code offset} in the space. */
        Buffer range(int layer, long offset, long count);
    }

    private FlatViews(LocalSpace space, DType type, @Nullable Buffer flat, Memory memory) {
        ChunkGrid grid = space.grid();
        FlatLayout layout = grid.layout();
        this.space = space;
        this.type = type;
        this.flat = flat;
        int layers = layout.shape().layers() + 2;
        this.bySlice = new EnumMap<>(Role.class);
        this.padding = Stream.generate(() -> (List<Buffer>) new ArrayList<Buffer>())
                .limit(layers).toList();
        for (TensorSlice slice : layout.slices()) {
            long offset = space.offset(slice);
            if (offset >= 0) {
                long end = offset + slice.elements();
                if (FlatLayout.align(end) > end) {
                    padding.get(slice.parameter().layer()).add(memory.range(
                            slice.parameter().layer(), end, FlatLayout.align(end) - end));
                }
                bySlice.computeIfAbsent(slice.parameter().role(),
                        _ -> new Buffer[layers][layout.tensorSlices()])
                        [slice.parameter().layer()][slice.slice()] =
                        memory.range(slice.parameter().layer(), offset, slice.elements());
            }
        }
        this.byChunk = new Buffer[grid.size()];
        for (int chunk : space.chunks()) {
            byChunk[chunk] = memory.range(grid.chunk(chunk).layer(), space.offset(chunk),
                    grid.chunk(chunk).length());
        }
    }

    /** What part of the parameter space it is of. */
    public LocalSpace space() {
        return space;
    }

    /** Type of the elements. */
    public DType type() {
        return type;
    }

    /** The whole buffer; there is none where layers share windows. */
    public Buffer flat() {
        Buffer whole = flat;
        if (whole == null) {
            throw new IllegalStateException("layers share windows of " + space.slices());
        }
        return whole;
    }

    /** A tensor slice; slice 0 for tensors that are not cut. */
    public Buffer slice(Role role, int layer, int slice) {
        @Nullable Buffer[][] ofRole = bySlice.get(role);
        Buffer found = ofRole == null ? null : ofRole[layer][slice];
        if (found == null) {
            throw new IllegalArgumentException(
                    "no tensor slice " + slice + " of " + role + " in layer " + layer);
        }
        return found;
    }

    /** What lies between the tensor slices of a layer and is zero in weights and gradients. */
    public List<Buffer> padding(int layer) {
        return padding.get(layer);
    }

    /** A chunk. */
    public Buffer chunk(int index) {
        Buffer found = byChunk[index];
        if (found == null) {
            throw new IllegalArgumentException(
                    "chunk " + index + " is not used by " + space.slices());
        }
        return found;
    }
}
