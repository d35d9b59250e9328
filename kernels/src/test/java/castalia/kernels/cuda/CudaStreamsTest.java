package castalia.kernels.cuda;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import castalia.kernels.Arena;
import castalia.kernels.Buffer;
import castalia.kernels.Copier;
import castalia.kernels.DType;
import castalia.kernels.MatmulShape;
import castalia.kernels.Repeated;
import castalia.testing.CudaStandIn;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.Arrays;
import java.util.List;
import jcuda.driver.CUevent;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;

/** Work of a CUDA device that is recorded and repeated, and copies beside it. */
class CudaStreamsTest {

    @AfterEach
    void recover() {
        CudaStandIn.recover();
    }

    private static CudaDevice device() {
        return new CudaDevice(new CudaSettings(0, CudaStandIn.driver("streams of a CUDA device"),
                CudaStandIn.folder(), "target/natives", 128L << 20));
    }

    static double squares(CudaDevice device, Buffer x) {
        double[] sums = new double[1];
        device.kernels().sumsOfSquares(sums, new Buffer[] {x});
        return sums[0];
    }

    /** What is copied is what the work before left; the work after it goes on, and is not waited for. */
    @Test
    void aCopierReadsBesideTheWork() throws InterruptedException {
        try (CudaDevice device = device(); Arena arena = device.arena()) {
            Buffer x = arena.allocate(DType.F32, 3000);
            Buffer y = arena.allocate(DType.F32, 1000);
            Buffer other = arena.allocate(DType.F32, 1000);
            float[] values = new float[3000];
            for (int i = 0; i < values.length; i++) {
                values[i] = i;
            }
            device.upload(x, MemorySegment.ofArray(values)); // still in the stream
            device.kernels().fill(y, 7, 1000);
            try (Copier copier = device.copier(2, 12_000)) {
                device.kernels().add(other, y, 1000);
                float[] found = new float[3001];
                Thread reader = new Thread(() -> {
                    copier.start(0, x);
                    copier.start(1, y);
                    found[0] = copier.await(1).get(ValueLayout.JAVA_FLOAT, 3996);
                    MemorySegment.copy(copier.await(0), ValueLayout.JAVA_FLOAT, 0, found, 1, 3000);
                    copier.start(1, x);
                });
                reader.start();
                reader.join();
                assertThat(found[0]).isEqualTo(7f);
                assertThat(Arrays.copyOfRange(found, 1, 3001)).isEqualTo(values);
                assertThatThrownBy(() -> copier.start(0, new Buffer(DType.F32, 4000,
                        MemorySegment.ofAddress(x.segment().address()).reinterpret(16_000))))
                        .isInstanceOf(IllegalArgumentException.class);
            }
        }
    }

    /** Copies, fills, kernels and products are recorded, with the numbers they had then. */
    @Test
    void workThatIsRepeatedIsRecordedAndDoneAsAWhole() {
        MatmulShape square = MatmulShape.forward(8, 8, 8, DType.F32, DType.F32, true);
        try (CudaDevice device = device(); Arena arena = device.arena()) {
            Buffer x = arena.allocate(DType.F32, 64);
            Buffer y = arena.allocate(DType.F32, 64);
            Buffer bias = arena.allocate(DType.F32, 8);
            device.kernels().prepare(List.of(square));
            device.kernels().fill(bias, 1, 8);
            int[] calls = {0};
            float[] read = new float[64];
            try (Repeated work = device.repeated(() -> {
                calls[0]++;
                device.kernels().zero(y, 64);
                device.kernels().matmul(square, y, x, x, bias);
                device.kernels().biasGradient(bias, y, 8, 8, false);
            })) {
                for (int round = 0; round < 5; round++) {
                    device.kernels().fill(x, 0.125f, 64);
                    device.kernels().fill(bias, round, 8);
                    long launches = CudaStandIn.calls("cuLaunchKernel", false);
                    work.run();
                    assertThat(CudaStandIn.calls("cuLaunchKernel", false) > launches)
                            .isEqualTo(round < 2);
                    device.download(MemorySegment.ofArray(read), y);
                    assertThat(read).as("round %s", round).containsOnly(0.125f + round);
                    device.download(
                            MemorySegment.ofArray(read).asSlice(0, 32), bias);
                    assertThat(read[7]).isEqualTo(1 + 8f * round);
                }
                assertThat(calls[0]).isEqualTo(2);
                // Working memory moves: what was recorded with the old is not done any more.
                device.kernels().biasGradient(arena.allocate(DType.F32, 3000),
                        arena.allocate(DType.F32, 3_000_000), 1000, 3000, false);
                for (int round = 0; round < 3; round++) {
                    work.run();
                }
                assertThat(calls[0]).isEqualTo(4);
            }
        }
    }

    @Test
    void whatCannotBeRecordedIsRefusedAndTheDeviceGoesOn() {
        try (CudaDevice device = device(); Arena arena = device.arena()) {
            Buffer x = arena.allocate(DType.F32, 1000);
            device.kernels().fill(x, 2, 1000);
            List<Runnable> impossible = List.of(
                    () -> squares(device, x),
                    () -> device.download(MemorySegment.ofArray(new float[1000]), x),
                    () -> device.arena().allocate(DType.F32, 1000),
                    () -> device.copier(1, 1).close());
            for (Runnable work : impossible) {
                try (Repeated repeated = device.repeated(work)) {
                    repeated.run();
                    assertThatThrownBy(repeated::run).isInstanceOf(IllegalStateException.class)
                            .hasMessageContaining("cannot be part of repeated work");
                }
                assertThat(squares(device, x)).isEqualTo(4000);
            }
        }
    }

    /** The driver refuses it besides. */
    @Test
    void whatIsNotPossibleWhileAStreamRecordsIsNamed() {
        try (CudaDevice device = device()) {
            device.enter();
            NativePointer.Stream stream = Driver.stream();
            Driver.beginCapture(stream);
            refused(900, () -> Driver.synchronize(stream));
            refused(901, () -> Driver.endCapture(stream));
            Driver.beginCapture(stream);
            CUevent event = Driver.event();
            Driver.record(event, stream);
            refused(907, () -> Driver.await(event));
            refused(901, () -> Driver.endCapture(stream));
            Driver.beginCapture(stream);
            assertThat(Driver.allocate(new NativePointer.Memory(), 1000)).isEqualTo(900);
            Driver.abandonCapture(stream);
            Driver.synchronize(stream);
            Driver.destroy(event);
            Driver.destroy(stream);
        }
    }

    private static void refused(int code, Runnable call) {
        assertThatThrownBy(call::run).isInstanceOfSatisfying(CudaException.class, e -> {
            assertThat(e.code()).isEqualTo(code);
            assertThat(e.lost()).isFalse();
        });
    }

    /** What a copier took before its memory could be pinned is given back. */
    @Test
    void aCopierWithoutPinnedMemoryLeavesNothingBehind() {
        try (CudaDevice device = device(); Arena arena = device.arena()) {
            Buffer x = arena.allocate(DType.F32, 10);
            device.kernels().fill(x, 3, 10);
            long before = unregistered();
            for (String call : List.of("cuMemHostRegister_v2", "cuStreamCreateWithPriority",
                    "cuEventCreate")) {
                CudaStandIn.fail(call, 0, Results.OUT_OF_MEMORY, false);
                assertThatThrownBy(() -> device.copier(2, 40)).as(call)
                        .isInstanceOf(RuntimeException.class);
            }
            assertThat(unregistered()).isEqualTo(before + 2); // the first registered nothing
            try (Copier copier = device.copier(1, 40)) {
                copier.start(0, x);
                assertThat(copier.await(0).get(ValueLayout.JAVA_FLOAT, 36)).isEqualTo(3f);
            }
        }
    }

    private static long unregistered() {
        return CudaStandIn.calls("cuMemHostUnregister", true);
    }
}
