package castalia.kernels.cuda;

import castalia.kernels.Arena;
import castalia.kernels.Buffer;
import castalia.kernels.Copier;
import castalia.kernels.Device;
import castalia.kernels.DeviceGroups;
import castalia.kernels.Kernels;
import castalia.kernels.KnownAnswers;
import castalia.kernels.NumericVersion;
import castalia.kernels.OutOfDeviceMemoryException;
import castalia.kernels.PeerMemory;
import castalia.kernels.Repeated;
import castalia.kernels.Repetition;
import castalia.kernels.check.CheckedKernels;
import java.lang.foreign.MemorySegment;
import java.util.ArrayDeque;
import java.util.Deque;
import java.util.List;
import java.util.Optional;
import jcuda.driver.CUcontext;
import jcuda.driver.CUdevice;
import org.jspecify.annotations.Nullable;

/**
 * A GPU. Operations are started in order on one stream and return before they are done; a download
 * and an operation with a result wait, and errors of what came before are thrown there. Several
 * devices of one process may share a GPU.
 */
public final class CudaDevice implements Device {

    /** The oldest GPUs the kernels are compiled for: A100. */
    private static final int OLDEST_CAPABILITY = 80;

    /** Shared memory of the largest kernel's blocks: an A100 has it. */
    private static final int SHARED_BYTES = 163 << 10;

    /** What each thread's calls of the driver refer to. */
    private static final ThreadLocal<@Nullable CUcontext> CURRENT = new ThreadLocal<>();

    private final DriverLibrary driver;
    private final CUdevice gpu;
    private final CUcontext context;
    private final String name;
    private final int capability;
    private final CublasLt library;
    private final java.lang.foreign.Arena host = java.lang.foreign.Arena.ofShared();
    private final NativePointer.Stream stream;
    private final DeviceMemory memory;
    private final PeerMemory peerMemory;
    private final String libraryPath;
    private final Staging staging;
    private final Deque<Runnable> opened = new ArrayDeque<>();
    private final String decides;
    private final Kernels kernels;
    private final Repetition repetition;
    private @Nullable NumericVersion version;
    private long workingMoves;
    private boolean recording;
    private boolean withoutGroups;
    private boolean closed;

    /**
     * Makes a device.
     *
     * @throws CudaUnavailableException if there is no driver or device of that number, or they are
     *     too old; the message says which
     * @throws OutOfDeviceMemoryException if there is too little memory even to begin
     */
    public CudaDevice(CudaSettings settings) {
        this(settings, KernelImages::of);
    }

    /** Where a device's kernels come from. */
    interface Images {
        KernelImages of(CudaSettings settings, int capability);
    }

    CudaDevice(CudaSettings settings, Images source) {
        repetition = settings.graphs();
        driver = DriverLibrary.open(settings.driver());
        Driver.load(driver, settings.nativesFolder());
        gpu = Driver.device(settings.ordinal());
        name = Driver.name(gpu);
        capability = Driver.capability(gpu);
        if (capability < OLDEST_CAPABILITY) {
            throw new CudaUnavailableException("CUDA device " + settings.ordinal() + " (" + name
                    + ") has compute capability " + capability / 10 + "." + capability % 10
                    + "; the kernels need 8.0 (A100) or newer");
        }
        if (Driver.sharedBytes(gpu) < SHARED_BYTES) {
            throw new CudaUnavailableException("CUDA device " + settings.ordinal() + " (" + name
                    + ") gives a block " + Driver.sharedBytes(gpu) + " bytes of shared memory; the"
                    + " kernels need " + SHARED_BYTES);
        }
        KernelImages images = source.of(settings, capability);
        decides = images.decides();
        libraryPath = settings.libraryPath();
        library = CublasLt.open(libraryPath);
        context = Driver.retain(gpu);
        opened.push(() -> Driver.release(gpu));
        try {
            enter();
            stream = Driver.stream();
            opened.push(() -> Driver.destroy(stream));
            memory = new DeviceMemory(settings.memoryLimitBytes());
            opened.push(memory::close);
            peerMemory = new CudaPeerMemory(this, memory);
            staging = new Staging(driver, stream, host);
            opened.push(staging::close);
            KernelFunctions functions = new KernelFunctions(images);
            opened.push(functions::close);
            Products products = new Products(
                    library, memory, settings.memoryLimitBytes(), stream.address());
            opened.push(products::close);
            kernels = new CheckedKernels(new CudaKernels(this, functions, products, host));
            opened.push(() -> Driver.synchronize(stream));
        } catch (RuntimeException | Error e) {
            closeAll();
            throw e;
        }
    }

    /** Every call begins here: makes the GPU's context the calling thread's. */
    void enter() {
        if (closed) {
            throw new IllegalStateException("the CUDA device is closed");
        }
        makeCurrent();
    }

    @SuppressWarnings("ReferenceEquality") // a destroyed context's address may come back
    private void makeCurrent() {
        if (context != CURRENT.get()) {
            Driver.setCurrent(context);
            CURRENT.set(context);
        }
    }

    /** Waits for everything that was started. */
    void finish() {
        requireDoing("what others read");
        Driver.synchronize(stream);
    }

    /** Whether nothing that was started is left to be done. */
    boolean idle() {
        enter();
        return Driver.idle(stream);
    }

    /** Starts a copy from memory that this device reaches. */
    void copy(long to, long from, long bytes) {
        requireDoing("a copy from another process");
        driver.withinDevice(to, from, bytes, stream.address());
    }

    DriverLibrary driver() {
        return driver;
    }

    long stream() {
        return stream.address();
    }

    /** Zeroed memory. */
    long take(long bytes) {
        requireDoing("an allocation");
        long address = memory.allocate(bytes);
        clear(address, bytes);
        return address;
    }

    /** Takes memory back: what uses it was started before, and what gets it next comes later. */
    void giveBack(List<MemorySegment> segments) {
        for (MemorySegment segment : segments) {
            memory.release(segment.address(), segment.byteSize());
        }
    }

    /** Undefined working memory; the old one, if any, is given back. */
    long exchange(long old, long oldBytes, long bytes) {
        requireDoing("larger working memory");
        workingMoves++;
        if (old != 0) {
            memory.release(old, oldBytes);
        }
        return memory.allocate(bytes);
    }

    /** Whether the calls that follow are recorded, not done. */
    void recording(boolean now) {
        recording = now;
    }

    /** What waits for the device or changes its memory's layout cannot be repeated. */
    private void requireDoing(String what) {
        enter();
        if (recording) {
            throw new IllegalStateException(what + " cannot be part of repeated work");
        }
    }

    /** How often working memory has moved: what was recorded before refers to the old. */
    long workingMoves() {
        return workingMoves;
    }

    /** Fills memory with zeros. */
    void clear(long address, long bytes) {
        if (bytes > 0) {
            driver.fill(address, (byte) 0, bytes, stream.address());
        }
    }

    /** Copies host memory, which may change when this returns, to the device. */
    void write(long to, MemorySegment from) {
        requireDoing("an upload");
        staging.upload(to, from);
    }

    /** Copies device memory to the host, once everything before is done. */
    void read(MemorySegment to, long from) {
        requireDoing("a result");
        staging.download(to, from);
    }

    @Override
    public Kernels kernels() {
        return kernels;
    }

    @Override
    public Arena arena() {
        return new CudaArena(this);
    }

    @Override
    public boolean inHostMemory() {
        return false;
    }

    @Override
    public boolean owns(MemorySegment segment) {
        return segment.isNative() && memory.contains(segment.address());
    }

    @Override
    public Optional<PeerMemory> peerMemory() {
        return Optional.of(peerMemory);
    }

    /** By NCCL, where it is installed. */
    @Override
    public Optional<DeviceGroups> groups() {
        return withoutGroups ? Optional.empty() : Nccl.find(libraryPath).library().map(
                nccl -> new NcclGroups(nccl, this, Driver.identity(gpu)));
    }

    /** From now on. */
    void withoutGroups() {
        withoutGroups = true;
    }

    /** Why {@link #groups} has none, in one line; empty if it has. */
    public static String whyNoGroups(CudaSettings settings) {
        return Nccl.find(settings.libraryPath()).why();
    }

    @Override
    public void upload(Buffer to, MemorySegment from) {
        requireDoing("an upload");
        if (from.byteSize() > to.segment().byteSize()) {
            throw new IllegalArgumentException("upload of " + from.byteSize()
                    + " bytes into a buffer of " + to.segment().byteSize());
        }
        requireAlive(to);
        staging.upload(to.segment().address(), from);
    }

    @Override
    public void download(MemorySegment to, Buffer from) {
        requireDoing("a download");
        if (to.byteSize() != from.segment().byteSize()) {
            throw new IllegalArgumentException("download of a buffer of "
                    + from.segment().byteSize() + " bytes into " + to.byteSize());
        }
        requireAlive(from);
        staging.download(to, from.segment().address());
    }

    @Override
    public Copier copier(int slots, long slotBytes) {
        requireDoing("a copier");
        return new CudaCopier(this, stream, slots, slotBytes);
    }

    @Override
    public int mostPartials() {
        return CudaKernels.MOST_PARTIALS;
    }

    @Override
    public Repetition repetition() {
        return repetition;
    }

    @Override
    public Repeated repeated(Runnable work) {
        return new RecordedWork(this, stream, work);
    }

    private static void requireAlive(Buffer buffer) {
        if (!buffer.segment().scope().isAlive()) {
            throw new IllegalStateException("the arena of the buffer is closed");
        }
    }

    @Override
    public String description() {
        return "cuda (" + name + ", sm_" + capability + ", " + library.version() + ")";
    }

    /** Bytes that all arenas of the device hold, its own working memory among them. */
    public long heldBytes() {
        return memory.heldBytes();
    }

    @Override
    public NumericVersion numericVersion() {
        NumericVersion known = version;
        if (known == null) {
            known = new NumericVersion("cuda", library.version() + ", " + decides,
                    "sm_" + capability + ", " + Driver.multiprocessors(gpu) + " multiprocessors",
                    Runtime.version().feature(), NumericVersion.KERNEL_REVISION,
                    KnownAnswers.ofKernels(this));
            version = known;
        }
        return known;
    }

    /** Ends quietly where the GPU failed: there is nothing left to give back. */
    @Override
    public void close() {
        if (!closed) {
            closed = true;
            closeAll();
        }
    }

    private void closeAll() {
        try {
            CudaException.unlessLost(() -> {
                makeCurrent();
                while (!opened.isEmpty()) {
                    opened.pop().run();
                }
            });
        } finally {
            host.close();
        }
    }
}
