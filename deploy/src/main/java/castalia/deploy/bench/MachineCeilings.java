package castalia.deploy.bench;

import castalia.kernels.Arena;
import castalia.kernels.Buffer;
import castalia.kernels.DType;
import castalia.kernels.Device;
import castalia.kernels.MatmulShape;

/**
 * What a device can do at best, measured with its own kernels: nothing it computes for training is
 * faster for long.
 *
 * @param gflops matrix products, billions of floating-point operations per second
 * @param copy bytes read and written by a copy that no cache holds, in billions per second
 */
public record MachineCeilings(double gflops, double copy) {

    private static final int SIZE = 2048;
    private static final long COPIED = 64L << 20;
    private static final long ENOUGH_NANOS = 400_000_000;
    private static final int LEAST_RUNS = 3;

    /** Measures for about two seconds. */
    public static MachineCeilings of(Device device, DType type) {
        double most = 0;
        for (int inner : new int[] {512, SIZE}) {
            most = Math.max(most, product(device, MatmulShape.forward(SIZE, SIZE, inner, type, type, false)));
        }
        try (Arena arena = device.arena()) {
            Buffer from = arena.allocate(DType.F32, COPIED);
            Buffer to = arena.allocate(DType.F32, COPIED);
            device.kernels().fill(from, 1, COPIED);
            double seconds = best(() -> device.kernels().cast(to, from, COPIED));
            return new MachineCeilings(StepBench.round(most, 1),
                    StepBench.round(2.0 * Float.BYTES * COPIED / seconds * 1e-9, 1));
        }
    }

    private static double product(Device device, MatmulShape shape) {
        try (Arena arena = device.arena()) {
            Buffer out = arena.allocate(shape.output(), (long) shape.m() * shape.n());
            Buffer left = arena.allocate(shape.input(), (long) shape.m() * shape.k());
            Buffer right = arena.allocate(shape.input(), (long) shape.k() * shape.n());
            device.kernels().normal(left, 1, 1, 1, 0, 0, shape.k(), shape.m(), shape.k());
            device.kernels().normal(right, 1, 1, 2, 0, 0, shape.n(), shape.k(), shape.n());
            return shape.flops()
                    / best(() -> device.kernels().matmul(shape, out, left, right, null)) * 1e-9;
        }
    }

    /** Seconds of the fastest call. */
    private static double best(Runnable call) {
        double best = Double.POSITIVE_INFINITY;
        long begun = System.nanoTime();
        for (int i = 0; i < LEAST_RUNS || System.nanoTime() - begun < ENOUGH_NANOS; i++) {
            long start = System.nanoTime();
            call.run();
            best = Math.min(best, (System.nanoTime() - start) * 1e-9);
        }
        return best;
    }
}
