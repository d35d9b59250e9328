package castalia.kernels.cpu;

import castalia.kernels.Arena;
import castalia.kernels.Buffer;
import castalia.kernels.Device;
import castalia.kernels.Kernels;
import castalia.kernels.KnownAnswers;
import castalia.kernels.MatmulShape;
import castalia.kernels.NumericVersion;
import castalia.kernels.check.CheckedKernels;
import java.io.BufferedReader;
import java.io.FileReader;
import java.io.IOException;
import java.lang.foreign.MemorySegment;
import java.nio.charset.StandardCharsets;
import java.util.List;
import java.util.concurrent.atomic.AtomicLong;
import org.jspecify.annotations.Nullable;

/**
 * The processor and memory of this host. Each device has a pool of threads of its own, the calling
 * thread among them; results do not depend on their number.
 */
public final class CpuDevice implements Device {

    private final CpuSettings settings;
    private final AtomicLong heldBytes = new AtomicLong();
    private final CpuArena scratchMemory;
    private final WorkerPool pool;
    private final ProductEngine engine;
    private final Products products;
    private final Kernels kernels;
    private final @Nullable String fallback;
    private @Nullable Thread caller;
    private @Nullable NumericVersion version;
    private boolean closed;

    /**
     * Makes a device.
     *
     * @throws IllegalStateException if {@link MatmulEngine#ONEDNN} is asked for and cannot be had
     */
    public CpuDevice(CpuSettings settings) {
        this.settings = settings;
        scratchMemory = new CpuArena(heldBytes, settings.memoryLimitBytes());
        Scratch scratch = new Scratch(scratchMemory, settings.threads());
        String missing = null;
        ProductEngine chosen;
        if (settings.engine() == MatmulEngine.JAVA) {
            chosen = new JavaEngine(scratch);
        } else {
            try {
                chosen = oneDnn(settings, scratch);
            } catch (IOException e) {
                if (settings.engine() == MatmulEngine.ONEDNN) {
                    scratchMemory.close();
                    throw new IllegalStateException("oneDNN was asked for: " + e.getMessage(), e);
                }
                missing = e.getMessage();
                chosen = new JavaEngine(scratch);
            }
        }
        fallback = missing;
        engine = chosen;
        pool = new WorkerPool(settings.threads());
        products = new Products(engine, pool, scratch);
        kernels = new CheckedKernels(new CpuKernels(this, pool, products, scratch));
        enter();
        pool.runOnEach(new EnterThread(engine));
    }

    private static ProductEngine oneDnn(CpuSettings settings, Scratch scratch) throws IOException {
        if (!System.getProperty("os.name").equals("Linux")
                || !System.getProperty("os.arch").equals("amd64")) {
            throw new IOException("the library is for Linux on x86-64, not for "
                    + System.getProperty("os.name") + " on " + System.getProperty("os.arch"));
        }
        if (!hasAvx2()) {
            throw new IOException("the processor has no AVX2");
        }
        return new OneDnnEngine(settings.nativesFolder(), settings.threads(), scratch);
    }

    private static boolean hasAvx2() throws IOException {
        try (BufferedReader lines = new BufferedReader(
                new FileReader("/proc/cpuinfo", StandardCharsets.US_ASCII))) {
            return lines.lines()
                    .filter(line -> line.startsWith("flags"))
                    .findFirst()
                    .map(line -> List.of(line.split("\\s+")).contains("avx2"))
                    .orElse(false);
        }
    }

    private static final class EnterThread extends WorkerPool.Task {
        private final ProductEngine engine;

        EnterThread(ProductEngine engine) {
            this.engine = engine;
        }

        @Override
        void block(int block, int thread) {
            engine.enterThread();
        }
    }

    /** Every operation begins here: a caller not seen before is prepared for the library. */
    void enter() {
        Thread now = Thread.currentThread();
        if (now != caller) {
            if (closed) {
                throw new IllegalStateException("the CPU device is closed");
            }
            engine.enterThread();
            caller = now;
        }
    }

    @Override
    public Kernels kernels() {
        return kernels;
    }

    @Override
    public Arena arena() {
        return new CpuArena(heldBytes, settings.memoryLimitBytes());
    }

    @Override
    public void upload(Buffer to, MemorySegment from) {
        if (from.byteSize() > to.segment().byteSize()) {
            throw new IllegalArgumentException("upload of " + from.byteSize()
                    + " bytes into a buffer of " + to.segment().byteSize());
        }
        MemorySegment.copy(from, 0, to.segment(), 0, from.byteSize());
    }

    @Override
    public void download(MemorySegment to, Buffer from) {
        if (to.byteSize() != from.segment().byteSize()) {
            throw new IllegalArgumentException("download of a buffer of "
                    + from.segment().byteSize() + " bytes into " + to.byteSize());
        }
        to.copyFrom(from.segment());
    }

    @Override
    public String description() {
        int threads = settings.threads();
        String name = "cpu (" + threads + (threads == 1 ? " thread, " : " threads, ")
                 + VectorMath.L * Float.SIZE + "-bit vectors, " + engine.version() + ")";
        return fallback == null ? name : name + "; products in Java, because " + fallback;
    }

    /** Threads that compute, the caller's among them. */
    public int threads() {
        return settings.threads();
    }

    /** Bytes that all arenas of the device hold, its own working memory among them. */
    public long heldBytes() {
        return heldBytes.get();
    }

    @Override
    public NumericVersion numericVersion() {
        NumericVersion known = version;
        if (known == null) {
            known = new NumericVersion("cpu", engine.version(), engine.instructionSet(),
                    Runtime.version().feature(), NumericVersion.KERNEL_REVISION,
                    KnownAnswers.ofKernels(this));
            version = known;
        }
        return known;
    }

    @Override
    public List<String> productAnswers(MatmulShape shape) {
        enter();
        return new ProductProbe(this, pool, products).answers(shape);
    }

    @Override
    public void close() {
        if (!closed) {
            closed = true;
            caller = null;
            pool.close();
            engine.close();
            scratchMemory.close();
        }
    }
}
