package castalia.kernels.cuda;

import static java.lang.foreign.ValueLayout.ADDRESS;
import static java.lang.foreign.ValueLayout.JAVA_FLOAT;
import static java.lang.foreign.ValueLayout.JAVA_INT;
import static java.lang.foreign.ValueLayout.JAVA_LONG;

import castalia.kernels.DType;
import java.lang.foreign.Arena;
import java.lang.foreign.FunctionDescriptor;
import java.lang.foreign.Linker;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.SymbolLookup;
import java.lang.invoke.MethodHandle;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;

/**
 * The functions of cublasLt, major version 12 or 13, that products need. Handles of objects are
 * their addresses. Its matrices are column-major.
 */
final class CublasLt {

    static final int TRANSPOSE_A = 3;
    static final int TRANSPOSE_B = 4;
    static final int EPILOGUE = 7;
    static final int BIAS_POINTER = 8;
    static final int WITH_BIAS = 4;
    static final int AUXILIARY_POINTER = 11;
    static final int AUXILIARY_STRIDE = 12;
    static final int WITH_BIAS_AND_GELU = 4 | 32 | 128;
    static final int WITH_GELU_SLOPE = 64 | 128;

    private static final List<String> NAMES = List.of("libcublasLt.so.13", "libcublasLt.so.12");
    private static final int INVALID_VALUE = 7;
    private static final int NOT_SUPPORTED = 15;
    private static final int COMPUTE_F32 = 68;
    private static final int REAL_F32 = 0;
    private static final int REAL_F16 = 2;
    private static final int REAL_BF16 = 14;
    private static final int BATCH_COUNT = 5;
    private static final int BATCH_OFFSET = 6;
    private static final int WORKSPACE_BYTES = 1;
    private static final int REDUCTION_SCHEMES = 3;
    private static final int FIRST_ALIGNMENT = 5;
    private static final int OPERANDS = 4;
    private static final int ALGORITHM_BYTES = 64;
    private static final int STATE_OFFSET = 72;
    private static final int RESULT_BYTES = 96;
    private static final int VERSION_UNIT = 10000;

    private static final Map<String, CublasLt> OPENED = new HashMap<>();

    private final String file;
    private final SymbolLookup library;
    private final long version;
    private final MethodHandle multiply;
    private final MethodHandle setDescription;
    private final MemorySegment one;
    private final MemorySegment zero;

    private CublasLt(String file, SymbolLookup library) {
        this.file = file;
        this.library = library;
        version = readVersion(library);
        multiply = Foreign.status(library, "cublasLtMatmul", JAVA_LONG, JAVA_LONG, JAVA_LONG,
                JAVA_LONG, JAVA_LONG, JAVA_LONG, JAVA_LONG, JAVA_LONG, JAVA_LONG, JAVA_LONG,
                JAVA_LONG, JAVA_LONG, JAVA_LONG, JAVA_LONG, JAVA_LONG, JAVA_LONG);
        setDescription = Foreign.status(library, "cublasLtMatmulDescSetAttribute", JAVA_LONG,
                JAVA_INT, JAVA_LONG, JAVA_LONG);
        one = Arena.global().allocateFrom(JAVA_FLOAT, 1f);
        zero = Arena.global().allocateFrom(JAVA_FLOAT, 0f);
    }

    /**
     * Opens the library, once, in the given folders, or where the system looks if there are none.
     *
     * @throws CudaUnavailableException if there is none
     */
    static synchronized CublasLt open(String libraryPath) {
        CublasLt opened = OPENED.get(libraryPath);
        if (opened != null) {
            return opened;
        }
        List<String> tried = new ArrayList<>();
        for (String folder : libraryPath.split(":", -1)) {
            for (String name : NAMES) {
                String path = folder.isEmpty() ? name : folder + "/" + name;
                try {
                    opened = new CublasLt(path, Foreign.open(path));
                    OPENED.put(libraryPath, opened);
                    return opened;
                } catch (IllegalArgumentException _) {
                    tried.add(path);
                }
            }
        }
        throw new CudaUnavailableException("no cublasLt of CUDA 12 or 13 was found (tried "
                + String.join(", ", tried)
                + "); name its folder in castalia.gpu.library-path");
    }

    private static long readVersion(SymbolLookup library) {
        MethodHandle handle = Linker.nativeLinker().downcallHandle(
                library.find("cublasLtGetVersion").orElseThrow(() -> new CudaUnavailableException(
                        "cublasLt lacks cublasLtGetVersion")),
                FunctionDescriptor.of(JAVA_LONG));
        try {
            return (long) handle.invokeExact();
        } catch (Throwable e) {
            throw Foreign.failed("cublasLtGetVersion", e);
        }
    }

    /** Such as {@code cublasLt 13.0.0}. */
    String version() {
        return "cublasLt " + version / VERSION_UNIT + "." + version % VERSION_UNIT / 100 + "."
                + version % 100;
    }

    /** Where it was found. */
    String file() {
        return file;
    }

    static int type(DType type) {
        return switch (type) {
            case F32 -> REAL_F32;
            case F16 -> REAL_F16;
            case BF16 -> REAL_BF16;
            case I32, F64 -> throw new IllegalArgumentException("no product of " + type);
        };
    }

    private static void require(int status, String function) {
        if (status != 0) {
            throw new CudaException(function + " answers " + status, status, false);
        }
    }

    private long create(String function, Object... arguments) {
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment result = arena.allocate(JAVA_LONG);
            Object[] all = new Object[arguments.length + 1];
            java.lang.foreign.MemoryLayout[] layouts =
                    new java.lang.foreign.MemoryLayout[all.length];
            all[0] = result;
            layouts[0] = ADDRESS;
            for (int i = 0; i < arguments.length; i++) {
                all[i + 1] = arguments[i];
                layouts[i + 1] = arguments[i] instanceof Integer ? JAVA_INT : JAVA_LONG;
            }
            require((int) Foreign.status(library, function, layouts).invokeWithArguments(all),
                    function);
            return result.get(JAVA_LONG, 0);
        } catch (Throwable e) {
            throw Foreign.failed(function, e);
        }
    }

    private void destroy(String function, long object) {
        try {
            require((int) Foreign.status(library, function, JAVA_LONG).invokeExact(object),
                    function);
        } catch (Throwable e) {
            throw Foreign.failed(function, e);
        }
    }

    long handle() {
        return create("cublasLtCreate");
    }

    void destroyHandle(long handle) {
        destroy("cublasLtDestroy", handle);
    }

    /** Of a product with sums and scales in F32. */
    long description() {
        return create("cublasLtMatmulDescCreate", COMPUTE_F32, REAL_F32);
    }

    void destroyDescription(long description) {
        destroy("cublasLtMatmulDescDestroy", description);
    }

    long layout(int type, long rows, long columns, long leading) {
        return create("cublasLtMatrixLayoutCreate", type, rows, columns, leading);
    }

    /** Makes a layout that of several matrices, so many elements apart. */
    void batch(long layout, int count, long elements) {
        try (Arena arena = Arena.ofConfined()) {
            setLayout(layout, BATCH_COUNT, arena.allocateFrom(JAVA_INT, count));
            setLayout(layout, BATCH_OFFSET, arena.allocateFrom(JAVA_LONG, elements));
        }
    }

    private void setLayout(long layout, int attribute, MemorySegment value) {
        try {
            int status = (int) Foreign.status(library, "cublasLtMatrixLayoutSetAttribute",
                    JAVA_LONG, JAVA_INT, JAVA_LONG, JAVA_LONG).invokeExact(layout, attribute,
                    value.address(), value.byteSize());
            require(status, "cublasLtMatrixLayoutSetAttribute");
        } catch (Throwable e) {
            throw Foreign.failed("cublasLtMatrixLayoutSetAttribute", e);
        }
    }

    void destroyLayout(long layout) {
        destroy("cublasLtMatrixLayoutDestroy", layout);
    }

    /** Sets an attribute of a description from {@code bytes} at {@code value}. */
    void set(long description, int attribute, MemorySegment value, long bytes) {
        try {
            require((int) setDescription.invokeExact(description, attribute, value.address(), bytes),
                    "cublasLtMatmulDescSetAttribute");
        } catch (Throwable e) {
            throw Foreign.failed("cublasLtMatmulDescSetAttribute", e);
        }
    }

    /**
     * The library's first choice among the algorithms that split no sum, for operands of this
     * alignment.
     *
     * @param algorithm where it is written: 64 bytes
     * @return false if there is none
     */
    boolean choose(long handle, Objects objects, int alignmentBytes, long workspaceBytes,
            MemorySegment algorithm) {
        long preference = create("cublasLtMatmulPreferenceCreate");
        try (Arena arena = Arena.ofConfined()) {
            prefer(preference, WORKSPACE_BYTES, arena.allocateFrom(JAVA_LONG, workspaceBytes));
            prefer(preference, REDUCTION_SCHEMES, arena.allocateFrom(JAVA_INT, 0));
            for (int operand = 0; operand < OPERANDS; operand++) {
                prefer(preference, FIRST_ALIGNMENT + operand,
                        arena.allocateFrom(JAVA_INT, alignmentBytes));
            }
            MemorySegment result = arena.allocate(RESULT_BYTES, Long.BYTES);
            MemorySegment found = arena.allocate(JAVA_INT);
            int status = (int) Foreign.status(library, "cublasLtMatmulAlgoGetHeuristic", JAVA_LONG,
                    JAVA_LONG, JAVA_LONG, JAVA_LONG, JAVA_LONG, JAVA_LONG, JAVA_LONG, JAVA_INT,
                    JAVA_LONG, JAVA_LONG).invokeExact(handle, objects.description, objects.a,
                    objects.b, objects.out, objects.out, preference, 1, result.address(),
                    found.address());
            if (status == NOT_SUPPORTED || status == INVALID_VALUE) {
                return false;
            }
            require(status, "cublasLtMatmulAlgoGetHeuristic");
            if (found.get(JAVA_INT, 0) < 1 || result.get(JAVA_INT, STATE_OFFSET) != 0) {
                return false;
            }
            MemorySegment.copy(result, 0, algorithm, 0, ALGORITHM_BYTES);
            check(handle, objects, algorithm, workspaceBytes);
            return true;
        } catch (Throwable e) {
            throw Foreign.failed("cublasLtMatmulAlgoGetHeuristic", e);
        } finally {
            destroy("cublasLtMatmulPreferenceDestroy", preference);
        }
    }

    private void prefer(long preference, int attribute, MemorySegment value) {
        try {
            int status = (int) Foreign.status(library, "cublasLtMatmulPreferenceSetAttribute",
                    JAVA_LONG, JAVA_INT, JAVA_LONG, JAVA_LONG).invokeExact(preference, attribute,
                    value.address(), value.byteSize());
            require(status, "cublasLtMatmulPreferenceSetAttribute");
        } catch (Throwable e) {
            throw Foreign.failed("cublasLtMatmulPreferenceSetAttribute", e);
        }
    }

    private void check(long handle, Objects objects, MemorySegment algorithm, long workspaceBytes) {
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment result = arena.allocate(RESULT_BYTES, Long.BYTES);
            int status = (int) Foreign.status(library, "cublasLtMatmulAlgoCheck", JAVA_LONG,
                    JAVA_LONG, JAVA_LONG, JAVA_LONG, JAVA_LONG, JAVA_LONG, JAVA_LONG, JAVA_LONG)
                    .invokeExact(handle, objects.description, objects.a, objects.b, objects.out,
                            objects.out, algorithm.address(), result.address());
            require(status, "cublasLtMatmulAlgoCheck");
            long needed = result.get(JAVA_LONG, ALGORITHM_BYTES);
            if (needed > workspaceBytes) {
                throw new CudaException("cublasLt's algorithm wants " + needed
                        + " bytes of working memory, not " + workspaceBytes, 0, false);
            }
        } catch (Throwable e) {
            throw Foreign.failed("cublasLtMatmulAlgoCheck", e);
        }
    }

    /** Starts a product. */
    void multiply(long handle, Objects objects, MemorySegment algorithm, long a, long b, long out,
            boolean add, long workspace, long workspaceBytes, long stream) {
        try {
            int status = (int) multiply.invokeExact(handle, objects.description, one.address(), a,
                    objects.a, b, objects.b, (add ? one : zero).address(), out, objects.out, out,
                    objects.out, algorithm.address(), workspace, workspaceBytes, stream);
            require(status, "cublasLtMatmul");
        } catch (Throwable e) {
            throw Foreign.failed("cublasLtMatmul", e);
        }
    }

    /**
     * A product's objects.
     *
     * @param description what is computed
     * @param a layout of the first operand
     * @param b layout of the second
     * @param out layout of the result
     */
    record Objects(long description, long a, long b, long out) {}
}
