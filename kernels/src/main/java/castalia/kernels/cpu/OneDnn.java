package castalia.kernels.cpu;

import static java.lang.foreign.ValueLayout.ADDRESS;
import static java.lang.foreign.ValueLayout.JAVA_BYTE;
import static java.lang.foreign.ValueLayout.JAVA_FLOAT;
import static java.lang.foreign.ValueLayout.JAVA_INT;
import static java.lang.foreign.ValueLayout.JAVA_LONG;

import java.io.File;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.FunctionDescriptor;
import java.lang.foreign.Linker;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.SymbolLookup;
import java.lang.foreign.ValueLayout;
import java.lang.invoke.MethodHandle;
import java.util.HashMap;
import java.util.Map;

/**
 * The functions of oneDNN 3 that products need, and the thread count of its OpenMP runtime.
 * Handles of objects are their addresses. A library once loaded stays loaded.
 */
final class OneDnn {

    static final int ARG_SOURCE = 1;
    static final int ARG_DESTINATION = 17;
    static final int ARG_WEIGHTS = 33;
    static final int ARG_BIAS = 41;
    static final int ARG_SCRATCHPAD = 80;
    static final int TYPE_BF16 = 2;
    static final int TYPE_F32 = 3;

    /** Formats of a second operand in panels; see {@link Packing}. */
    static final int TAG_PANELS = 506;

    static final int TAG_PANELS_OF_PAIRS = 384;

    private static final int SUCCESS = 0;
    private static final int ENGINE_CPU = 1;
    private static final int STREAM_DEFAULT = 1;
    private static final int SCRATCHPAD_USER = 1;
    private static final int QUERY_IMPLEMENTATION = 8;
    private static final int QUERY_SCRATCHPAD = 136;
    private static final int MAX_NAME_BYTES = 256;
    private static final int MAX_DIMENSIONS = 12;

    private static final Linker LINKER = Linker.nativeLinker();
    private static final ValueLayout.OfLong L = JAVA_LONG;
    private static final ValueLayout.OfInt I = JAVA_INT;

    /** Status of a function of one object. */
    private static final MethodHandle ONE = handle(FunctionDescriptor.of(I, L));
    /** Status of a function of two objects. */
    private static final MethodHandle TWO = handle(FunctionDescriptor.of(I, L, L));
    private static final MethodHandle OBJECT_AND_INT = handle(FunctionDescriptor.of(I, L, I));
    private static final MethodHandle ENGINE_CREATE = handle(FunctionDescriptor.of(I, L, I, L));
    private static final MethodHandle STREAM_CREATE = handle(FunctionDescriptor.of(I, L, L, I));
    private static final MethodHandle STRIDED = handle(FunctionDescriptor.of(I, L, I, L, I, L));
    private static final MethodHandle TAGGED = handle(FunctionDescriptor.of(I, L, I, L, I, I));
    private static final MethodHandle APPEND_SUM =
            handle(FunctionDescriptor.of(I, L, JAVA_FLOAT, I, I));
    private static final MethodHandle MATMUL_CREATE =
            handle(FunctionDescriptor.of(I, L, L, L, L, L, L, L));
    private static final MethodHandle QUERY = handle(FunctionDescriptor.of(I, L, I, I, L));
    private static final MethodHandle QUERY_DESCRIPTOR = handle(FunctionDescriptor.of(L, L, I, I));
    private static final MethodHandle SIZE = handle(FunctionDescriptor.of(L, L));
    private static final MethodHandle MEMORY_CREATE = handle(FunctionDescriptor.of(I, L, L, L, L));
    private static final MethodHandle EXECUTE = handle(FunctionDescriptor.of(I, L, L, I, L));
    private static final MethodHandle SET_THREADS = handle(FunctionDescriptor.ofVoid(I));

    private static final Map<File, OneDnn> LOADED = new HashMap<>();

    private final SymbolLookup library;
    private final MemorySegment setHandle;
    private final MemorySegment execute;
    private final MemorySegment setThreads;

    private OneDnn(File folder) {
        SymbolLookup openMp = open(new File(folder, NativeFiles.OPENMP));
        library = open(new File(folder, NativeFiles.DNNL));
        setThreads = find(openMp, "omp_set_num_threads");
        setHandle = find(library, "dnnl_memory_set_data_handle");
        execute = find(library, "dnnl_primitive_execute");
    }

    /** Unpacks the library below {@code nativesFolder} and loads it, once per folder. */
    static synchronized OneDnn load(String nativesFolder) throws IOException {
        File folder = NativeFiles.unpack(nativesFolder);
        OneDnn loaded = LOADED.get(folder);
        if (loaded == null) {
            try {
                loaded = new OneDnn(folder);
            } catch (IllegalArgumentException | UnsatisfiedLinkError e) {
                throw new IOException(
                        "cannot load oneDNN from " + folder + ": " + e.getMessage(), e);
            }
            LOADED.put(folder, loaded);
        }
        return loaded;
    }

    private static SymbolLookup open(File file) {
        return SymbolLookup.libraryLookup(file.getPath(), Arena.global());
    }

    private static MemorySegment find(SymbolLookup library, String name) {
        return library.find(name).orElseThrow(
                () -> new UnsatisfiedLinkError("the library has no " + name));
    }

    private static MethodHandle handle(FunctionDescriptor descriptor) {
        return LINKER.downcallHandle(descriptor);
    }

    /** Lets the calling thread compute alone in every later call of the library. */
    void oneThread() {
        try {
            SET_THREADS.invokeExact(setThreads, 1);
        } catch (Throwable e) {
            throw failed("omp_set_num_threads", e);
        }
    }

    long engine() {
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment result = arena.allocate(ADDRESS);
            check("dnnl_engine_create", (int) ENGINE_CREATE.invokeExact(
                    find(library, "dnnl_engine_create"), result.address(), ENGINE_CPU, 0L));
            return result.get(JAVA_LONG, 0);
        } catch (Throwable e) {
            throw failed("dnnl_engine_create", e);
        }
    }

    long stream(long engine) {
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment result = arena.allocate(ADDRESS);
            check("dnnl_stream_create", (int) STREAM_CREATE.invokeExact(
                    find(library, "dnnl_stream_create"), result.address(), engine, STREAM_DEFAULT));
            return result.get(JAVA_LONG, 0);
        } catch (Throwable e) {
            throw failed("dnnl_stream_create", e);
        }
    }

    /** A matrix (or a row vector) of the given type and element strides. */
    long matrix(int type, long rows, long columns, long rowStride, long columnStride) {
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment result = arena.allocate(ADDRESS);
            MemorySegment sizes = arena.allocate(JAVA_LONG, MAX_DIMENSIONS);
            MemorySegment strides = arena.allocate(JAVA_LONG, MAX_DIMENSIONS);
            sizes.set(JAVA_LONG, 0, rows);
            sizes.set(JAVA_LONG, 8, columns);
            strides.set(JAVA_LONG, 0, rowStride);
            strides.set(JAVA_LONG, 8, columnStride);
            check("dnnl_memory_desc_create_with_strides", (int) STRIDED.invokeExact(
                    find(library, "dnnl_memory_desc_create_with_strides"),
                    result.address(), 2, sizes.address(), type, strides.address()));
            return result.get(JAVA_LONG, 0);
        } catch (Throwable e) {
            throw failed("dnnl_memory_desc_create_with_strides", e);
        }
    }

    /** A matrix whose memory has one of the library's formats. */
    long formatted(int type, long rows, long columns, int tag) {
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment result = arena.allocate(ADDRESS);
            MemorySegment sizes = arena.allocate(JAVA_LONG, MAX_DIMENSIONS);
            sizes.set(JAVA_LONG, 0, rows);
            sizes.set(JAVA_LONG, 8, columns);
            check("dnnl_memory_desc_create_with_tag", (int) TAGGED.invokeExact(
                    find(library, "dnnl_memory_desc_create_with_tag"),
                    result.address(), 2, sizes.address(), type, tag));
            return result.get(JAVA_LONG, 0);
        } catch (Throwable e) {
            throw failed("dnnl_memory_desc_create_with_tag", e);
        }
    }

    /** Attributes of a product: the caller's scratchpad, fixed results, perhaps accumulation. */
    long attributes(boolean accumulate) {
        long attributes = create("dnnl_primitive_attr_create");
        call("dnnl_primitive_attr_set_scratchpad_mode", attributes, SCRATCHPAD_USER);
        call("dnnl_primitive_attr_set_deterministic", attributes, 1);
        if (accumulate) {
            long operations = create("dnnl_post_ops_create");
            try {
                check("dnnl_post_ops_append_sum", (int) APPEND_SUM.invokeExact(
                        find(library, "dnnl_post_ops_append_sum"), operations, 1f, 0, 0));
                check("dnnl_primitive_attr_set_post_ops", (int) TWO.invokeExact(
                        find(library, "dnnl_primitive_attr_set_post_ops"), attributes, operations));
            } catch (Throwable e) {
                throw failed("dnnl_post_ops_append_sum", e);
            } finally {
                destroy("dnnl_post_ops_destroy", operations);
            }
        }
        return attributes;
    }

    /** Describes a product; 0 if the library has none of these types. */
    long matmul(long engine, long source, long weights, long bias, long out, long attributes) {
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment result = arena.allocate(ADDRESS);
            int status = (int) MATMUL_CREATE.invokeExact(
                    find(library, "dnnl_matmul_primitive_desc_create"),
                    result.address(), engine, source, weights, bias, out, attributes);
            return status == SUCCESS ? result.get(JAVA_LONG, 0) : 0;
        } catch (Throwable e) {
            throw failed("dnnl_matmul_primitive_desc_create", e);
        }
    }

    /** Name of the implementation a description chose, such as {@code brg_matmul:avx512_core}. */
    String implementation(long description) {
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment result = arena.allocate(ADDRESS);
            check("dnnl_primitive_desc_query", (int) QUERY.invokeExact(
                    find(library, "dnnl_primitive_desc_query"),
                    description, QUERY_IMPLEMENTATION, 0, result.address()));
            MemorySegment name = MemorySegment.ofAddress(result.get(JAVA_LONG, 0))
                    .reinterpret(MAX_NAME_BYTES);
            StringBuilder text = new StringBuilder();
            for (long i = 0; i < MAX_NAME_BYTES && name.get(JAVA_BYTE, i) != 0; i++) {
                text.append((char) name.get(JAVA_BYTE, i));
            }
            return text.toString();
        } catch (Throwable e) {
            throw failed("dnnl_primitive_desc_query", e);
        }
    }

    /** Has a description take the next implementation, and returns whether there is one. */
    boolean next(long description) {
        try {
            return (int) ONE.invokeExact(find(library, "dnnl_primitive_desc_next_impl"), description)
                    == SUCCESS;
        } catch (Throwable e) {
            throw failed("dnnl_primitive_desc_next_impl", e);
        }
    }

    /** The descriptor of the scratchpad a description wants; owned by it. */
    long scratchpad(long description) {
        try {
            return (long) QUERY_DESCRIPTOR.invokeExact(
                    find(library, "dnnl_primitive_desc_query_md"),
                    description, QUERY_SCRATCHPAD, 0);
        } catch (Throwable e) {
            throw failed("dnnl_primitive_desc_query_md", e);
        }
    }

    long bytes(long descriptor) {
        try {
            return (long) SIZE.invokeExact(find(library, "dnnl_memory_desc_get_size"), descriptor);
        } catch (Throwable e) {
            throw failed("dnnl_memory_desc_get_size", e);
        }
    }

    long primitive(long description) {
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment result = arena.allocate(ADDRESS);
            check("dnnl_primitive_create", (int) TWO.invokeExact(
                    find(library, "dnnl_primitive_create"), result.address(), description));
            return result.get(JAVA_LONG, 0);
        } catch (Throwable e) {
            throw failed("dnnl_primitive_create", e);
        }
    }

    /** A memory object without memory; {@link #at} gives it some. */
    long memory(long descriptor, long engine) {
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment result = arena.allocate(ADDRESS);
            check("dnnl_memory_create", (int) MEMORY_CREATE.invokeExact(
                    find(library, "dnnl_memory_create"), result.address(), descriptor, engine, 0L));
            return result.get(JAVA_LONG, 0);
        } catch (Throwable e) {
            throw failed("dnnl_memory_create", e);
        }
    }

    /** Points a memory object at an address. */
    void at(long memory, long address) {
        try {
            int status = (int) TWO.invokeExact(setHandle, memory, address);
            if (status != SUCCESS) {
                check("dnnl_memory_set_data_handle", status);
            }
        } catch (Throwable e) {
            throw failed("dnnl_memory_set_data_handle", e);
        }
    }

    /** Computes; {@code arguments} is an array of {@code count} dnnl_exec_arg_t. */
    void execute(long primitive, long stream, int count, long arguments) {
        try {
            int status = (int) EXECUTE.invokeExact(execute, primitive, stream, count, arguments);
            if (status != SUCCESS) {
                check("dnnl_primitive_execute", status);
            }
        } catch (Throwable e) {
            throw failed("dnnl_primitive_execute", e);
        }
    }

    void destroy(String function, long object) {
        if (object == 0) {
            return;
        }
        try {
            check(function, (int) ONE.invokeExact(find(library, function), object));
        } catch (Throwable e) {
            throw failed(function, e);
        }
    }

    private long create(String function) {
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment result = arena.allocate(ADDRESS);
            check(function, (int) ONE.invokeExact(find(library, function), result.address()));
            return result.get(JAVA_LONG, 0);
        } catch (Throwable e) {
            throw failed(function, e);
        }
    }

    private void call(String function, long object, int value) {
        try {
            check(function, (int) OBJECT_AND_INT.invokeExact(
                    find(library, function), object, value));
        } catch (Throwable e) {
            throw failed(function, e);
        }
    }

    private static void check(String function, int status) {
        if (status != SUCCESS) {
            throw new IllegalStateException(function + " returned the status " + status);
        }
    }

    private static RuntimeException failed(String function, Throwable cause) {
        return switch (cause) {
            case RuntimeException unchecked -> unchecked;
            case Error error -> throw error;
            default -> new IllegalStateException(function + " failed", cause);
        };
    }
}
