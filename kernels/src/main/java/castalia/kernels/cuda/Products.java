package castalia.kernels.cuda;

import static java.lang.foreign.ValueLayout.JAVA_INT;
import static java.lang.foreign.ValueLayout.JAVA_LONG;

import castalia.kernels.Buffer;
import castalia.kernels.DType;
import castalia.kernels.MatmulShape;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.util.HashMap;
import java.util.Map;
import org.jspecify.annotations.Nullable;

/**
 * Matrix products by cublasLt, on one stream with working memory of its own. The algorithm of a
 * shape is chosen once, among those that split no sum; operands that are aligned less than 16 bytes
 * have a choice of their own, so a result is a function of the shape wherever arenas and flat
 * layouts align as they do.
 *
 * <p>A row-major matrix is the column-major one of its transpose: {@code out^T = b^T a^T}.
 */
final class Products implements AutoCloseable {

    private static final long WORKSPACE_BYTES = 32L << 20;
    private static final int BEST_ALIGNMENT = 16;
    private static final int ALIGNMENTS = 5;
    private static final int ALGORITHM_BYTES = 64;

    /** What is kept for a shape and an alignment. */
    private record Prepared(CublasLt.Objects objects, MemorySegment algorithm) {}

    private final CublasLt library;
    private final long handle;
    private final long workspace;
    private final long workspaceBytes;
    private final long stream;
    private final Arena arena = Arena.ofShared();
    private final MemorySegment address = arena.allocate(JAVA_LONG);
    private final Map<MatmulShape, @Nullable Prepared[]> prepared = new HashMap<>();

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
        get(shape, BEST_ALIGNMENT);
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
        Prepared of = get(shape, (int) Math.min(BEST_ALIGNMENT, Long.lowestOneBit(all)));
        if (added != null) {
            address.set(JAVA_LONG, 0, added.segment().address());
            library.set(of.objects.description(), CublasLt.BIAS_POINTER, address, Long.BYTES);
        }
        library.multiply(handle, of.objects, of.algorithm, left, right, result, shape.accumulate(),
                workspace, workspaceBytes, stream);
    }

    private Prepared get(MatmulShape shape, int alignment) {
        @Nullable Prepared[] all = prepared.get(shape);
        if (all == null) {
            all = new Prepared[ALIGNMENTS];
            prepared.put(shape, all);
        }
        int index = Integer.numberOfTrailingZeros(alignment);
        Prepared known = all[index];
        if (known == null) {
            known = make(shape, alignment);
            all[index] = known;
        }
        return known;
    }

    private Prepared make(MatmulShape s, int alignment) {
        long description = library.description();
        flag(description, CublasLt.TRANSPOSE_A, s.transposeB() ? 1 : 0);
        flag(description, CublasLt.TRANSPOSE_B, s.transposeA() ? 1 : 0);
        if (addsBias(s)) {
            flag(description, CublasLt.EPILOGUE, CublasLt.WITH_BIAS);
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
        MemorySegment algorithm = arena.allocate(ALGORITHM_BYTES, Long.BYTES);
        library.choose(handle, objects, alignment, workspaceBytes, algorithm);
        return new Prepared(objects, algorithm);
    }

    private void flag(long description, int attribute, int value) {
        try (Arena brief = Arena.ofConfined()) {
            library.set(description, attribute, brief.allocateFrom(JAVA_INT, value), Integer.BYTES);
        }
    }

    @Override
    public void close() {
        for (@Nullable Prepared[] of : prepared.values()) {
            for (Prepared each : of) {
                if (each != null) {
                    library.destroyLayout(each.objects.a());
                    library.destroyLayout(each.objects.b());
                    library.destroyLayout(each.objects.out());
                    library.destroyDescription(each.objects.description());
                }
            }
        }
        prepared.clear();
        library.destroyHandle(handle);
        arena.close();
    }
}
