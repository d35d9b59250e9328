package castalia.workers.model;

import castalia.kernels.Arena;
import castalia.kernels.Buffer;
import castalia.kernels.DType;
import castalia.kernels.Device;
import java.lang.foreign.MemorySegment;

/**
 * Loss sums of passes, on the device until somebody needs them: a device that works on its own is not
 * waited for after every pass.
 */
public final class Losses implements AutoCloseable {

    private final Device device;
    private final Arena arena;
    private final Buffer all;
    private final Buffer[][] passes;
    private final double[] read;
    private final int sweeps;

    /** Room for the losses of some passes of a plan. */
    public Losses(ModelPlan plan, Device device, int passes) {
        this.device = device;
        this.sweeps = plan.sweeps().length;
        this.arena = device.arena();
        try {
            this.all = arena.allocate(DType.F64, (long) passes * sweeps);
        } catch (RuntimeException | Error e) {
            arena.close();
            throw e;
        }
        this.read = new double[passes * sweeps];
        this.passes = new Buffer[passes][sweeps];
        for (int i = 0; i < read.length; i++) {
            this.passes[i / sweeps][i % sweeps] = all.slice(i, 1);
        }
    }

    /** What a pass writes: a sum (1) F64 for each of the head's sweeps over rows. */
    Buffer[] of(int pass) {
        return passes[pass];
    }

    /** All sums of a pass. */
    Buffer whole(int pass) {
        return all.slice((long) pass * sweeps, sweeps);
    }

    /** Waits for the passes so far and reads their sums. */
    public void read() {
        device.download(MemorySegment.ofArray(read), all);
    }

    /** Sum over the tokens of a pass, as of the last {@link #read}. */
    public double sum(int pass) {
        double sum = 0;
        for (int sweep = 0; sweep < sweeps; sweep++) {
            sum += read[pass * sweeps + sweep];
        }
        return sum;
    }

    /** Bytes of device memory. */
    public long allocatedBytes() {
        return arena.allocatedBytes();
    }

    @Override
    public void close() {
        arena.close();
    }
}
