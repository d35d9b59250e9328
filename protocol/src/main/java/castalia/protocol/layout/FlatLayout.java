package castalia.protocol.layout;

import castalia.protocol.model.ModelShape;
import castalia.protocol.model.NeoxParameters;
import castalia.protocol.model.Parameter;
import castalia.protocol.model.Parameter.Role;
import castalia.protocol.model.Parameter.Split;
import java.util.ArrayList;
import java.util.EnumMap;
import java.util.List;
import java.util.Map;

/**
 * The flat parameter space: every tensor slice at a fixed offset, a function of shape and T alone.
 *
 * <p>Order: embedding slices; per block the matrices, each slice by slice, then the vectors that
 * are not cut, then per slice its cut vectors; final norm; head slices. Every slice starts at a
 * multiple of {@link #ALIGNMENT}; the elements between are padding and stay zero in weights,
 * moments and gradients.
 */
public final class FlatLayout {

    /** Alignment of slices and chunks in elements: 64 bytes of fp32. */
    public static final int ALIGNMENT = 16;

    private final ModelShape shape;
    private final int tensorSlices;
    private final List<TensorSlice> slices;
    private final Map<Role, TensorSlice[][]> byRole;
    private final long elements;

    private FlatLayout(ModelShape shape, int tensorSlices) {
        this.shape = shape;
        this.tensorSlices = tensorSlices;
        List<TensorSlice> placed = new ArrayList<>();
        long offset = 0;
        List<Parameter> all = NeoxParameters.of(shape);
        for (int layer = 0; layer <= shape.layers() + 1; layer++) {
            int current = layer;
            List<Parameter> ofLayer = all.stream().filter(p -> p.layer() == current).toList();
            for (Parameter p : ofLayer) {
                if (!p.role().vector() && p.role() != Role.HEAD) {
                    offset = placeAll(p, offset, placed);
                }
            }
            for (Parameter p : ofLayer) {
                if (p.role().vector() && p.role().split() == Split.NONE) {
                    offset = placeAll(p, offset, placed);
                }
            }
            for (int slice = 0; slice < tensorSlices; slice++) {
                for (Parameter p : ofLayer) {
                    if (p.role().vector() && p.role().split() != Split.NONE) {
                        offset = place(p, slice, offset, placed);
                    }
                }
            }
            for (Parameter p : ofLayer) {
                if (p.role() == Role.HEAD) {
                    offset = placeAll(p, offset, placed);
                }
            }
        }
        this.slices = List.copyOf(placed);
        this.elements = offset;
        this.byRole = new EnumMap<>(Role.class);
        for (TensorSlice s : slices) {
            byRole.computeIfAbsent(s.parameter().role(),
                    _ -> new TensorSlice[shape.layers() + 2][tensorSlices])
                    [s.parameter().layer()][s.slice()] = s;
        }
    }

    /**
     * The layout of {@code shape} cut into {@code tensorSlices} slices.
     *
     * @throws IllegalArgumentException if T is no power of two or does not divide heads,
     *     feed-forward width and vocabulary
     */
    public static FlatLayout of(ModelShape shape, int tensorSlices) {
        requireSlices(shape, tensorSlices);
        return new FlatLayout(shape, tensorSlices);
    }

    /**
     * Checks T against a shape without building the layout.
     *
     * @throws IllegalArgumentException as {@link #of}
     */
    public static void requireSlices(ModelShape shape, int tensorSlices) {
        if (tensorSlices < 1 || Integer.bitCount(tensorSlices) != 1) {
            throw new IllegalArgumentException(
                    "tensor slices T = " + tensorSlices + " must be a power of two");
        }
        divides(tensorSlices, "num-attention-heads", shape.heads());
        divides(tensorSlices, "intermediate size", shape.intermediate());
        divides(tensorSlices, "padded vocabulary", shape.vocabulary());
    }

    private static void divides(int tensorSlices, String what, int value) {
        if (value % tensorSlices != 0) {
            throw new IllegalArgumentException(
                    "tensor slices T = " + tensorSlices + " must divide " + what + " " + value);
        }
    }

    private long placeAll(Parameter p, long offset, List<TensorSlice> placed) {
        int count = p.role().split() == Split.NONE ? 1 : tensorSlices;
        for (int slice = 0; slice < count; slice++) {
            offset = place(p, slice, offset, placed);
        }
        return offset;
    }

    private long place(Parameter p, int slice, long offset, List<TensorSlice> placed) {
        int rows = p.role().split() == Split.ROWS ? p.rows() / tensorSlices : p.rows();
        int columns = p.role().split() == Split.COLUMNS ? p.columns() / tensorSlices : p.columns();
        TensorSlice next = new TensorSlice(p, slice, offset, rows, columns);
        placed.add(next);
        return align(offset + next.elements());
    }

    /** The next multiple of {@link #ALIGNMENT} at or above {@code offset}. */
    public static long align(long offset) {
        return (offset + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
    }

    public ModelShape shape() {
        return shape;
    }

    /** T. */
    public int tensorSlices() {
        return tensorSlices;
    }

    /** Length of the flat space in elements, padding included; a multiple of the alignment. */
    public long elements() {
        return elements;
    }

    /** All slices in order of their offsets. */
    public List<TensorSlice> slices() {
        return slices;
    }

    /** The slice of a role in a layer (numbered as {@link Parameter#layer}). */
    public TensorSlice slice(Role role, int layer, int slice) {
        TensorSlice[][] ofRole = byRole.get(role);
        boolean inside = layer >= 0
                && layer <= shape.layers() + 1
                && slice >= 0
                && slice < tensorSlices;
        TensorSlice found = ofRole == null || !inside ? null : ofRole[layer][slice];
        if (found == null) {
            throw new IllegalArgumentException(
                    "no tensor slice " + slice + " of " + role + " in layer " + layer);
        }
        return found;
    }
}
