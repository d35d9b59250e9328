package castalia.deploy.bench;

import castalia.deploy.shell.CastaliaHome;
import castalia.deploy.train.Hosting;
import castalia.deploy.train.Wiring;
import castalia.kernels.Arena;
import castalia.kernels.Buffer;
import castalia.kernels.DType;
import castalia.kernels.Device;
import castalia.kernels.MatmulShape;
import castalia.protocol.planner.Recomputation;
import castalia.protocol.specification.TrainingPlan;
import castalia.workers.model.ModelPlan;
import java.util.List;

/** How fast a device of this machine multiplies matrices: an upper estimate of what training reaches. */
public final class DeviceSpeed {

    private static final int MOST = 2048;
    private static final long ENOUGH_NANOS = 300_000_000;

    private DeviceSpeed() {}

    /**
     * Floating-point operations per second in an up-projection of the model, made smaller where it is
     * large; takes about half a second.
     *
     * @param ranks ranks that share the processors
     */
    public static double flops(TrainingPlan plan, int ranks, CastaliaHome home) {
        DType type = ModelPlan.computeType(plan.precision());
        int rows = Math.min(MOST, plan.tokensPerMicroBatch());
        int columns = Math.min(MOST, plan.model().intermediate());
        int inner = Math.min(MOST, plan.model().hidden());
        MatmulShape shape = MatmulShape.forward(rows, columns, inner, type, type, false);
        Hosting hosting =
                new Hosting(ranks, Runtime.getRuntime().availableProcessors(), Recomputation.NONE);
        try (Device device = Wiring.devices(hosting, home).apply(0); Arena arena = device.arena()) {
            Buffer out = arena.allocate(type, (long) rows * columns);
            Buffer left = arena.allocate(type, (long) rows * inner);
            Buffer right = arena.allocate(type, (long) columns * inner);
            device.kernels().prepare(List.of(shape));
            device.kernels().matmul(shape, out, left, right, null);
            double best = Double.POSITIVE_INFINITY;
            for (long begun = System.nanoTime(); System.nanoTime() - begun < ENOUGH_NANOS; ) {
                long start = System.nanoTime();
                device.kernels().matmul(shape, out, left, right, null);
                best = Math.min(best, (System.nanoTime() - start) * 1e-9);
            }
            return shape.flops() / best;
        }
    }
}
