package castalia.kernels.cpu;

import static java.lang.foreign.ValueLayout.JAVA_INT;
import static java.lang.foreign.ValueLayout.JAVA_LONG;

import castalia.kernels.DType;
import castalia.kernels.MatmulShape;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import org.jspecify.annotations.Nullable;

/**
 * Products by oneDNN's matmul primitive, one library thread per caller. Primitives are shared by
 * the threads; memory objects, arguments, streams and scratchpads are each thread's own.
 *
 * <p>Types the library computes only with its plain reference code go to the portable product; F16,
 * whose products differ between processors, is computed in F32.
 */
final class OneDnnEngine implements ProductEngine {

    private static final int ARGUMENT_BYTES = 16;
    private static final int MAX_ARGUMENTS = 5;
    private static final String AMX = "amx";
    private static final String PANELS = "brg_matmul:avx512_core";

    /** Values of a row in a tile of AMX. */
    private static final int TILE_VALUES = 32;

    private final OneDnn library;
    private final String version;
    private final int threads;
    private final long engine;
    private final long[] streams;
    private final JavaEngine portable;
    private final Scratch scratch;
    private final Arena arguments = Arena.ofShared();
    private final List<Primitive> products = new ArrayList<>();

    /** Products of F32 that products of F16 are made of. */
    private final Map<MatmulShape, Product> halves = new HashMap<>();

    private final String instructionSet;

    OneDnnEngine(String nativesFolder, int threads, Scratch scratch) throws IOException {
        library = OneDnn.load(nativesFolder);
        version = NativeFiles.version();
        this.threads = threads;
        this.scratch = scratch;
        library.oneThread();
        engine = library.engine();
        streams = new long[threads];
        for (int i = 0; i < threads; i++) {
            streams[i] = library.stream(engine);
        }
        portable = new JavaEngine(scratch);
        instructionSet = probe(DType.F32) + ", " + probe(DType.BF16);
    }

    /** Implementation chosen for a product of ordinary size. */
    private String probe(DType type) {
        MatmulShape shape = MatmulShape.forward(256, 512, 512, type, type, false);
        Description description = new Description(shape, false);
        try {
            return type + " " + (description.usable ? description.implementation : "java");
        } finally {
            description.close();
        }
    }

    @Override
    public Product product(MatmulShape shape) {
        if (shape.input() == DType.F16) {
            return new HalfProduct(
                    shape, part -> halves.computeIfAbsent(part, this::product), scratch);
        }
        if (shape.output() == DType.F16) {
            return portable.product(shape);
        }
        Description description = new Description(shape, false);
        try {
            if (!description.usable) {
                return portable.product(shape);
            }
            int tiled = shape.k() - shape.k() % TILE_VALUES;
            if (description.skipped && shape.output() == DType.F32 && tiled > 0) {
                return new SplitProduct(shape, tiled, this::product);
            }
            if (description.implementation.contains(AMX) && TurnedProduct.pays(shape)) {
                return new TurnedProduct(shape, this::product, scratch);
            }
            Primitive product = new Primitive(description, shape.bias());
            products.add(product);
            return product;
        } finally {
            description.close();
        }
    }

    /** Panels of this width are AVX-512's; on AMX nothing was gained by packing. */
    @Override
    public @Nullable Product packed(MatmulShape shape) {
        if (shape.output() == DType.F16) {
            return null;
        }
        Description description = new Description(shape, true);
        try {
            if (!description.usable || description.skipped
                    || !description.implementation.contains(PANELS)
                    || description.implementation.contains(AMX)) {
                return null;
            }
            Primitive product = new Primitive(description, shape.bias());
            products.add(product);
            return product;
        } finally {
            description.close();
        }
    }

    @Override
    public void enterThread() {
        library.oneThread();
    }

    @Override
    public String version() {
        return "onednn-" + version;
    }

    @Override
    public String instructionSet() {
        return instructionSet;
    }

    @Override
    public void close() {
        products.forEach(Primitive::destroy);
        for (long stream : streams) {
            library.destroy("dnnl_stream_destroy", stream);
        }
        library.destroy("dnnl_engine_destroy", engine);
        arguments.close();
    }

    private static int tag(DType type) {
        return type == DType.BF16 ? OneDnn.TAG_PANELS_OF_PAIRS : OneDnn.TAG_PANELS;
    }

    private static int type(DType type) {
        return switch (type) {
            case F32 -> OneDnn.TYPE_F32;
            case BF16 -> OneDnn.TYPE_BF16;
            case F16, I32, F64 -> throw new IllegalArgumentException("products of " + type);
        };
    }

    /** The library's descriptors of a product, and what it chose. */
    private final class Description {
        final long a;
        final long b;
        final long out;
        final long bias;
        final long attributes;
        final long primitive;
        final String implementation;
        final boolean usable;

        /** Whether the library would have chosen AMX, which is not right for the shape. */
        final boolean skipped;

        /**
         * @param packed whether the second operand lies in panels
         */
        Description(MatmulShape shape, boolean packed) {
            int input = type(shape.input());
            a = shape.transposeA()
                    ? library.matrix(input, shape.m(), shape.k(), 1, shape.strideA())
                    : library.matrix(input, shape.m(), shape.k(), shape.strideA(), 1);
            b = packed ? library.formatted(input, shape.k(), shape.n(), tag(shape.input()))
                    : shape.transposeB()
                    ? library.matrix(input, shape.k(), shape.n(), 1, shape.strideB())
                    : library.matrix(input, shape.k(), shape.n(), shape.strideB(), 1);
            out = library.matrix(
                    type(shape.output()), shape.m(), shape.n(), shape.strideOut(), 1);
            bias = shape.bias() ? library.matrix(input, 1, shape.n(), shape.n(), 1) : 0;
            attributes = library.attributes(shape.accumulate());
            primitive = library.matmul(engine, a, b, bias, out, attributes);
            String first = primitive == 0 ? "" : library.implementation(primitive);
            skipped = first.contains(AMX) && pastItsRows(shape);
            implementation = skipped ? withoutAmx() : first;
            usable = !implementation.isEmpty() && !implementation.contains("ref");
        }

        /** Has the library choose what is not AMX, and names it; empty if it has nothing else. */
        private String withoutAmx() {
            while (library.next(primitive)) {
                String name = library.implementation(primitive);
                if (!name.contains(AMX)) {
                    return name;
                }
            }
            return "";
        }

        /**
         * Whether AMX would read past the ends of A's rows: it loads whole tiles and multiplies what is too
         * much by zeros, which is not zero if infinities or NaNs lie there.
         */
        private static boolean pastItsRows(MatmulShape shape) {
            return shape.input() == DType.BF16 && !shape.transposeA() && shape.k() % TILE_VALUES != 0;
        }

        void close() {
            library.destroy("dnnl_primitive_desc_destroy", primitive);
            library.destroy("dnnl_primitive_attr_destroy", attributes);
            for (long descriptor : new long[] {a, b, out, bias}) {
                library.destroy("dnnl_memory_desc_destroy", descriptor);
            }
        }
    }

    private final class Primitive extends Product {
        private final long primitive;
        private final boolean bias;
        private final int count;
        private final long[] sources;
        private final long[] weights;
        private final long[] outputs;
        private final long[] biases;
        private final long[] scratchpads;
        private final long[] argumentLists;
        private final long scratchpadBytes;

        Primitive(Description description, boolean bias) {
            this.bias = bias;
            primitive = library.primitive(description.primitive);
            long scratchpad = library.scratchpad(description.primitive);
            scratchpadBytes = library.bytes(scratchpad);
            scratch.ensureProduct(scratchpadBytes);
            sources = memories(description.a);
            weights = memories(description.b);
            outputs = memories(description.out);
            biases = bias ? memories(description.bias) : new long[0];
            scratchpads = scratchpadBytes > 0 ? memories(scratchpad) : new long[0];
            count = 3 + (bias ? 1 : 0) + (scratchpadBytes > 0 ? 1 : 0);
            argumentLists = new long[threads];
            for (int thread = 0; thread < threads; thread++) {
                argumentLists[thread] = list(thread);
            }
        }

        private long[] memories(long descriptor) {
            long[] memories = new long[threads];
            for (int thread = 0; thread < threads; thread++) {
                memories[thread] = library.memory(descriptor, engine);
            }
            return memories;
        }

        private long list(int thread) {
            MemorySegment list = arguments.allocate((long) ARGUMENT_BYTES * MAX_ARGUMENTS, 64);
            int i = 0;
            i = put(list, i, OneDnn.ARG_SOURCE, sources[thread]);
            i = put(list, i, OneDnn.ARG_WEIGHTS, weights[thread]);
            i = put(list, i, OneDnn.ARG_DESTINATION, outputs[thread]);
            if (bias) {
                i = put(list, i, OneDnn.ARG_BIAS, biases[thread]);
            }
            if (scratchpadBytes > 0) {
                put(list, i, OneDnn.ARG_SCRATCHPAD, scratchpads[thread]);
            }
            return list.address();
        }

        private static int put(MemorySegment list, int index, int argument, long memory) {
            list.set(JAVA_INT, (long) index * ARGUMENT_BYTES, argument);
            list.set(JAVA_LONG, (long) index * ARGUMENT_BYTES + 8, memory);
            return index + 1;
        }

        @Override
        void run(int thread, long out, long a, long b, long biasAddress) {
            library.at(sources[thread], a);
            library.at(weights[thread], b);
            library.at(outputs[thread], out);
            if (bias) {
                library.at(biases[thread], biasAddress);
            }
            if (scratchpadBytes > 0) {
                library.at(scratchpads[thread], scratch.product(thread));
            }
            library.execute(primitive, streams[thread], count, argumentLists[thread]);
        }

        void destroy() {
            for (long[] memories : List.of(sources, weights, outputs, biases, scratchpads)) {
                for (long memory : memories) {
                    library.destroy("dnnl_memory_destroy", memory);
                }
            }
            library.destroy("dnnl_primitive_destroy", primitive);
        }
    }
}
