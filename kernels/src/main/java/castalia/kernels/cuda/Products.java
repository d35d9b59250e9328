package castalia.kernels.cuda;

import static java.lang.foreign.ValueLayout.JAVA_INT;
import static java.lang.foreign.ValueLayout.JAVA_LONG;

import castalia.kernels.Buffer;
import castalia.kernels.DType;
import castalia.kernels.MatmulShape;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.util.EnumMap;
import java.util.HashMap;
import java.util.Map;
import org.jspecify.annotations.Nullable;

/**
 * Matrix products by cublasLt, on one stream with working memory of its own. The algorithm of a
 * shape is chosen once, among those that split no sum; operands that are aligned less than 16 bytes
 * have a choice of their own, so a result is a function of the shape wherever arenas and flat
 * layouts align as they do.
 *
 * <p>Of the library's epilogues those for the bias, for a GELU behind it and for the slope of a GELU are
 * used. Its GELU is the form with tanh: for erf there is none. Forward it takes the sum before that is
 * rounded, and leaves the rounded one beside it; the slope takes the rounded one.
 *
 * <p>A row-major matrix is the column-major one of its transpose: {@code out^T = b^T a^T}.
 */
final class Products implements AutoCloseable {

    private static final long WORKSPACE_BYTES = 32L << 20;
    private static final int BEST_ALIGNMENT = 16;
    private static final int ALIGNMENTS = 5;
    private static final int ALGORITHM_BYTES = 64;

    /** Tiles of a result that a product computes at once, as large as libraries choose them. */
    private static final int TILE = 128;

    /** As many tiles keep the largest GPU's multiprocessors busy. */
    private static final int ENOUGH_TILES = 512;

    private static final int MOST_GROUPS = 8;
    private static final int FEWEST_TERMS = 2048;

    /** What is kept for a shape and an alignment. */
    private record Prepared(CublasLt.Objects objects, MemorySegment algorithm) {}

    /** What is done with a shape. */
    private enum Form {
        /** One product. */
        WHOLE,
        /** As many as it has groups. */
        GROUPS,
        /** One, with its bias, and the GELU of that. */
        GELU,
        /** One, multiplied with the slope of a GELU. */
        SLOPE
    }

    private final CublasLt library;
    private final long handle;
    private final long workspace;
    private final long workspaceBytes;
    private final long stream;
    private final Arena arena = Arena.ofShared();
    private final MemorySegment address = arena.allocate(JAVA_LONG);
    private final Map<Form, Map<MatmulShape, @Nullable Prepared[]>> prepared =
            new EnumMap<>(Form.class);

    /** @param memory where the working memory is taken from */
    Products(CublasLt library, DeviceMemory memory, long limitBytes, long stream) {
        this.library = library;
        this.stream = stream;
        handle = library.handle();
        workspaceBytes = Math.min(WORKSPACE_BYTES, limitBytes / 4);
        workspace = memory.allocate(workspaceBytes);
    }

    /** Chooses the algorithm for operands as arenas align them. */
    void prepare(MatmulShape shape) {
        get(groups(shape) > 1 ? Form.GROUPS : Form.WHOLE, shape, BEST_ALIGNMENT);
    }

    /**
     * Groups of terms, summed apart, of a product whose result is small and whose sums are long: a
     * weight's gradient in a small model. The library would leave most multiprocessors idle where it
     * may not split sums; here the groups are a function of the shape, and so is their tree.
     */
    static int groups(MatmulShape s) {
        if (!s.transposeA() || s.transposeB() || s.output() != DType.F32 || s.bias()
                || s.strideOut() != s.n()) {
            return 1;
        }
        long tiles = (s.m() + TILE - 1L) / TILE * ((s.n() + TILE - 1) / TILE);
        int groups = 1;
        while (groups < MOST_GROUPS && groups * tiles < ENOUGH_TILES
                && s.k() % (2 * groups) == 0 && s.k() / (2 * groups) >= FEWEST_TERMS) {
            groups *= 2;
        }
        return groups;
    }

    private static MatmulShape group(MatmulShape s, int groups) {
        return new MatmulShape(s.m(), s.n(), s.k() / groups, true, false, s.strideA(), s.strideB(),
                s.n(), s.input(), DType.F32, false, false);
    }

    /** Writes the sums of {@link #groups} of terms one behind the other: (groups, M, N) F32. */
    void multiply(MatmulShape shape, int groups, long partials, Buffer a, Buffer b) {
        long left = b.segment().address();
        long right = a.segment().address();
        long terms = (long) shape.k() / groups * shape.input().bytes();
        long all = left | right | partials | terms * shape.strideB() | terms * shape.strideA()
                | (long) shape.m() * shape.n() * Float.BYTES;
        Prepared of = get(Form.GROUPS, shape, alignment(all));
        library.multiply(handle, of.objects, of.algorithm, left, right, partials, false, workspace,
                workspaceBytes, stream);
    }

    /**
     * Writes {@code x = a * b + bias}, rounded, and the GELU with tanh of the sum before.
     *
     * @return false if the library cannot: nothing was started
     */
    boolean multiplyGelu(
            MatmulShape shape, Buffer out, Buffer x, Buffer a, Buffer b, Buffer bias) {
        return addsBias(shape) && withAuxiliary(Form.GELU, shape, out, a, b, x, bias);
    }

    /**
     * Writes {@code (a * b) * gelu'(x)} with tanh, rounded once.
     *
     * @return false if the library cannot: nothing was started
     */
    boolean multiplyGeluBackward(MatmulShape shape, Buffer out, Buffer a, Buffer b, Buffer x) {
        return withAuxiliary(Form.SLOPE, shape, out, a, b, x, null);
    }

    /** A product beside whose result the values before a GELU are written or read. */
    private boolean withAuxiliary(Form form, MatmulShape shape, Buffer out, Buffer a, Buffer b,
            Buffer x, @Nullable Buffer bias) {
        if (shape.output() == DType.F32) {
            return false;
        }
        long left = b.segment().address();
        long right = a.segment().address();
        long result = out.segment().address();
        long all = left | right | result | x.segment().address();
        if (bias != null) {
            all |= bias.segment().address();
        }
        Prepared of = get(form, shape, alignment(all));
        if (of.algorithm.byteSize() == 0) {
            return false;
        }
        point(of, CublasLt.AUXILIARY_POINTER, x);
        if (bias != null) {
            point(of, CublasLt.BIAS_POINTER, bias);
        }
        library.multiply(handle, of.objects, of.algorithm, left, right, result, false, workspace,
                workspaceBytes, stream);
        return true;
    }

    private void point(Prepared of, int attribute, Buffer at) {
        address.set(JAVA_LONG, 0, at.segment().address());
        library.set(of.objects.description(), attribute, address, Long.BYTES);
    }

    /** Of several addresses and strides, or-ed. */
    private static int alignment(long all) {
        return (int) Math.min(BEST_ALIGNMENT, Long.lowestOneBit(all));
    }

    /** Whether cublasLt adds the bias; its bias has the type of the result. */
    static boolean addsBias(MatmulShape shape) {
        return shape.bias() && shape.output() == shape.input();
    }

    void multiply(MatmulShape shape, Buffer out, Buffer a, Buffer b, @Nullable Buffer bias) {
        long left = b.segment().address();
        long right = a.segment().address();
        long result = out.segment().address();
        Buffer added = addsBias(shape) ? bias : null;
        long all = left | right | result;
        if (added != null) {
            all |= added.segment().address();
        }
        Prepared of = get(Form.WHOLE, shape, alignment(all));
        if (added != null) {
            point(of, CublasLt.BIAS_POINTER, added);
        }
        library.multiply(handle, of.objects, of.algorithm, left, right, result, shape.accumulate(),
                workspace, workspaceBytes, stream);
    }

    private Prepared get(Form form, MatmulShape shape, int alignment) {
        Map<MatmulShape, @Nullable Prepared[]> shapes = prepared.get(form);
        if (shapes == null) {
            shapes = new HashMap<>();
            prepared.put(form, shapes);
        }
        @Nullable Prepared[] all = shapes.get(shape);
        if (all == null) {
            all = new Prepared[ALIGNMENTS];
            shapes.put(shape, all);
        }
        int index = Integer.numberOfTrailingZeros(alignment);
        Prepared known = all[index];
        if (known == null) {
            known = make(form, shape, alignment);
            all[index] = known;
        }
        return known;
    }

    private Prepared make(Form form, MatmulShape shape, int alignment) {
        int groups = form == Form.GROUPS ? groups(shape) : 1;
        MatmulShape s = form == Form.GROUPS ? group(shape, groups) : shape;
        long description = library.description();
        flag(description, CublasLt.TRANSPOSE_A, s.transposeB() ? 1 : 0);
        flag(description, CublasLt.TRANSPOSE_B, s.transposeA() ? 1 : 0);
        boolean auxiliary = form == Form.GELU || form == Form.SLOPE;
        if (addsBias(s) && !auxiliary) {
            flag(description, CublasLt.EPILOGUE, CublasLt.WITH_BIAS);
        }
        if (auxiliary) {
            flag(description, CublasLt.EPILOGUE, form == Form.GELU
                    ? CublasLt.WITH_BIAS_AND_GELU : CublasLt.WITH_GELU_SLOPE);
            address.set(JAVA_LONG, 0, s.n());
            library.set(description, CublasLt.AUXILIARY_STRIDE, address, Long.BYTES);
            address.set(JAVA_LONG, 0, workspace); // aligned as any other: set anew for each product
            library.set(description, CublasLt.AUXILIARY_POINTER, address, Long.BYTES);
        }
        DType in = s.input();
        int type = CublasLt.type(in);
        CublasLt.Objects objects = new CublasLt.Objects(description,
                s.transposeB()
                        ? library.layout(type, s.k(), s.n(), s.strideB())
                        : library.layout(type, s.n(), s.k(), s.strideB()),
                s.transposeA()
                        ? library.layout(type, s.m(), s.k(), s.strideA())
                        : library.layout(type, s.k(), s.m(), s.strideA()),
                library.layout(CublasLt.type(s.output()), s.n(), s.m(), s.strideOut()));
        if (groups > 1) {
            library.batch(objects.a(), groups, (long) s.k() * s.strideB());
            library.batch(objects.b(), groups, (long) s.k() * s.strideA());
            library.batch(objects.out(), groups, (long) s.m() * s.n());
        }
        MemorySegment algorithm = arena.allocate(ALGORITHM_BYTES, Long.BYTES);
        if (library.choose(handle, objects, alignment, workspaceBytes, algorithm)) {
            return new Prepared(objects, algorithm);
        }
        if (auxiliary) {
            return new Prepared(objects, MemorySegment.NULL); // done in two operations
        }
        throw new CudaException("cublasLt has no algorithm that splits no sum for a product "
                + s.inWords(), 0, false);
    }

    private void flag(long description, int attribute, int value) {
        try (Arena brief = Arena.ofConfined()) {
            library.set(description, attribute, brief.allocateFrom(JAVA_INT, value), Integer.BYTES);
        }
    }

    @Override
    public void close() {
        prepared.values().stream().flatMap(shapes -> shapes.values().stream())
                .forEach(this::destroy);
        prepared.clear();
        library.destroyHandle(handle);
        arena.close();
    }

    private void destroy(@Nullable Prepared[] of) {
        for (Prepared each : of) {
            if (each != null) {
                library.destroyLayout(each.objects.a());
                library.destroyLayout(each.objects.b());
                library.destroyLayout(each.objects.out());
                library.destroyDescription(each.objects.description());
            }
        }
    }
}
