package castalia.kernels.cuda;

import castalia.kernels.Repeated;
import jcuda.driver.CUgraph;
import jcuda.driver.CUgraphExec;
import org.jspecify.annotations.Nullable;

/**
 * Work that becomes a graph. The first time it is done call by call, so that all memory it needs is
 * there; the second time its calls are recorded; from then on the graph is launched. Where working
 * memory has moved since, it begins anew.
 */
final class RecordedWork implements Repeated {

    private final CudaDevice device;
    private final NativePointer.Stream stream;
    private final Runnable work;
    private @Nullable CUgraphExec graph;
    private long done = -1;
    private boolean closed;

    RecordedWork(CudaDevice device, NativePointer.Stream stream, Runnable work) {
        this.device = device;
        this.stream = stream;
        this.work = work;
    }

    @Override
    public void run() {
        if (closed) {
            throw new IllegalStateException("the repeated work is closed");
        }
        device.enter();
        long memory = device.workingMoves();
        if (memory != done) {
            destroy();
            work.run();
            done = device.workingMoves();
            return;
        }
        CUgraphExec recorded = graph;
        if (recorded == null) {
            recorded = record();
            graph = recorded;
        }
        Driver.launch(recorded, stream);
    }

    private CUgraphExec record() {
        Driver.beginCapture(stream);
        device.recording(true);
        try {
            work.run();
        } catch (RuntimeException | Error e) {
            Driver.abandonCapture(stream);
            throw e;
        } finally {
            device.recording(false);
        }
        CUgraph calls = Driver.endCapture(stream);
        try {
            return Driver.instantiate(calls);
        } finally {
            Driver.destroy(calls);
        }
    }

    private void destroy() {
        CUgraphExec recorded = graph;
        graph = null;
        if (recorded != null) {
            Driver.destroy(recorded);
        }
    }

    /** Quietly where the GPU failed. */
    @Override
    public void close() {
        if (closed) {
            return;
        }
        closed = true;
        CudaException.unlessLost(() -> {
            device.enter();
            destroy();
        });
    }
}
