package castalia.kernels;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.lang.foreign.MemorySegment;
import org.junit.jupiter.api.Test;

/** Memory of a device, and copies to and from it. */
interface DeviceContract extends KernelSubject {

    @Test
    default void freshBuffersAreZeroAndAligned() {
        for (int round = 0; round < 3; round++) {
            try (Arena arena = device().arena()) {
                for (DType type : new DType[] {DType.F32, DType.BF16, DType.F16, DType.I32}) {
                    for (int elements : new int[] {1, 3, 1000}) {
                        Buffer buffer = arena.allocate(type, elements);
                        assertThat(buffer.type()).isEqualTo(type);
                        assertThat(buffer.elements()).isEqualTo(elements);
                        assertThat(buffer.segment().address() % 64).isZero();
                        assertThat(download(buffer)).containsOnly(0);
                        byte[] ones = new byte[elements * type.bytes()];
                        java.util.Arrays.fill(ones, (byte) 1); // for the next round to find
                        device().upload(buffer, MemorySegment.ofArray(ones));
                        assertThat(download(buffer)).containsOnly(1);
                    }
                }
                assertThat(arena.allocatedBytes()).isGreaterThanOrEqualTo(1004 * (4 + 2 + 4));
            }
        }
    }

    @Test
    default void uploadsFillTheStartAndDownloadsTheWhole() {
        try (Arena arena = device().arena()) {
            Buffer buffer = arena.allocate(DType.I32, 3);
            device().upload(buffer, MemorySegment.ofArray(new int[] {7, 8}));
            assertThat(Values.decode(DType.I32, download(buffer))).containsExactly(7, 8, 0);
            assertThatThrownBy(() -> device().upload(buffer, MemorySegment.ofArray(new int[4])))
                    .isInstanceOf(IllegalArgumentException.class);
            assertThatThrownBy(() -> device().download(MemorySegment.ofArray(new int[4]), buffer))
                    .isInstanceOf(IllegalArgumentException.class);
            assertThatThrownBy(() -> device().download(MemorySegment.ofArray(new int[2]), buffer))
                    .isInstanceOf(IllegalArgumentException.class);
            assertThat(Values.decode(DType.I32, download(buffer))).containsExactly(7, 8, 0);
        }
    }

    @Test
    default void impossibleAllocationsAreRefused() {
        try (Arena arena = device().arena()) {
            assertThatThrownBy(() -> arena.allocate(DType.F32, -1))
                    .isInstanceOf(IllegalArgumentException.class);
            assertThatThrownBy(() -> arena.allocate(DType.F32, 1L << 50))
                    .isInstanceOfSatisfying(OutOfDeviceMemoryException.class,
                            e -> assertThat(e.requestedBytes()).isEqualTo(1L << 52));
            assertThat(arena.allocatedBytes()).isZero();
        }
    }

    private byte[] download(Buffer buffer) {
        byte[] bytes = new byte[Math.toIntExact(buffer.segment().byteSize())];
        device().download(MemorySegment.ofArray(bytes), buffer);
        return bytes;
    }
}
