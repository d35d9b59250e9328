package castalia.kernels.cpu;

import static org.assertj.core.api.Assertions.assertThat;

import castalia.kernels.Arena;
import castalia.kernels.DType;
import com.sun.management.ThreadMXBean;
import java.lang.management.ManagementFactory;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

/**
 * No operation allocates once it is compiled: neither calls nor, which would be far slower, vectors
 * that became objects. All kernels share this process, since the trouble comes with their number.
 */
@Timeout(180)
class AllocationTest {

    private static final int CALLS = 10;
    /** How long the compiler may take, for all engines together. */
    private static final long MOST_NANOS = TimeUnit.SECONDS.toNanos(150);

    private static final ThreadMXBean THREADS =
            (ThreadMXBean) ManagementFactory.getThreadMXBean();

    /** Bytes allocated so far by the caller and by the threads of all pools. */
    private static long allocated(long[] pool) {
        long sum = THREADS.getCurrentThreadAllocatedBytes();
        for (long id : pool) {
            sum += THREADS.getThreadAllocatedBytes(id);
        }
        return sum;
    }

    @Test
    void noOperationAllocates() {
        long begun = System.nanoTime();
        for (MatmulEngine engine : List.of(MatmulEngine.ONEDNN, MatmulEngine.JAVA)) {
            try (CpuDevice device = new CpuDevice(
                            new CpuSettings(2, CpuDeviceTest.NATIVES, 1L << 30, engine));
                    Arena arena = device.arena()) {
                long[] pool = Thread.getAllStackTraces().keySet().stream()
                        .filter(thread -> thread.getName().startsWith("castalia-cpu-"))
                        .mapToLong(Thread::threadId)
                        .toArray();
                assertThat(pool).isNotEmpty();
                List<Operations.Operation> all = new ArrayList<>();
                for (DType type : List.of(DType.F32, DType.BF16, DType.F16)) {
                    Operations operations = new Operations(device, arena, type);
                    for (Operations.Operation operation : engine == MatmulEngine.JAVA
                            ? operations.withProducts()
                            : operations.all()) {
                        operations.reset(operation);
                        all.add(operation);
                    }
                }
                noneAllocates(engine, all, pool, begun);
            }
        }
    }

    private static void noneAllocates(
            MatmulEngine engine, List<Operations.Operation> all, long[] pool, long begun) {
        List<Operations.Operation> left = new ArrayList<>(all);
        long last = 0;
        while (!left.isEmpty() && System.nanoTime() - begun < MOST_NANOS) {
            List<Operations.Operation> still = new ArrayList<>();
            for (Operations.Operation operation : left) {
                Runnable call = operation.call();
                long before = allocated(pool);
                for (int i = 0; i < CALLS; i++) {
                    call.run();
                }
                last = allocated(pool) - before;
                if (last > 0) {
                    still.add(operation);
                }
            }
            left = still;
        }
        assertThat(left).as("operations of %s that still allocate (%s bytes)", engine, last)
                .extracting(Operations.Operation::name)
                .isEmpty();
    }
}
