package castalia.kernels.cuda;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import castalia.kernels.Arena;
import castalia.kernels.Buffer;
import castalia.kernels.Copier;
import castalia.kernels.DType;
import castalia.kernels.OutOfDeviceMemoryException;
import castalia.kernels.PeerMemory;
import castalia.kernels.Repeated;
import castalia.testing.CudaStandIn;
import java.io.IOException;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import java.util.stream.Stream;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** The CUDA device on the stand-in for the driver: how it starts, fails, and what it calls. */
class CudaDeviceTest {

    private static final int ECC = 214;
    private static final int TIMEOUT = 702;
    private static final int UNKNOWN = 999;

    @AfterEach
    void environmentAsItWas() {
        for (String name : List.of("VERSION", "CAPABILITY", "DEVICES", "MEMORY_MIB")) {
            CudaStandIn.environment("CASTALIA_STANDIN_" + name, null);
        }
        CudaStandIn.recover();
    }

    @Test
    void aMachineWithoutADriverIsToldInOneLine() {
        CudaSettings settings =
                new CudaSettings(0, "libno-such-driver.so.1", "", "target/natives", 1 << 20);
        unavailable(settings, "no NVIDIA driver on this machine (libno-such-driver.so.1 is not"
                + " installed); the CUDA back end needs one of CUDA 13 (driver 580) or newer");
    }

    @Test
    void aDriverThatIsTooOldIsToldInOneLine() {
        CudaSettings settings = settings(0);
        CudaStandIn.environment("CASTALIA_STANDIN_VERSION", "11080");
        // The driver is asked once per name: this is another name of it.
        String other = settings.driver().replace("/libcuda", "/./libcuda");
        unavailable(new CudaSettings(0, other, settings.libraryPath(), "target/natives", 1 << 20),
                "the NVIDIA driver is for CUDA 11.8; the CUDA back end needs a newer one"
                        + " (driver 580)");
    }

    @Test
    void aLibraryThatIsNoDriverIsRefusedBeforeJcudaIsTouched() {
        CudaSettings settings = settings(0);
        unavailable(new CudaSettings(0, "libm.so.6", settings.libraryPath(), "target/natives",
                1 << 20), "libm.so.6 lacks cuInit; the CUDA back end needs an NVIDIA driver of CUDA"
                        + " 13 (driver 580) or newer");
    }

    @Test
    void aDeviceThatIsNotThereOrTooSmallIsToldInOneLine() {
        unavailable(settings(1), "no CUDA device 1: the driver has 1 device, numbered from 0");
        CudaStandIn.environment("CASTALIA_STANDIN_CAPABILITY", "75");
        unavailable(settings(0), "CUDA device 0 (stand-in 0) has compute capability 7.5; the"
                + " kernels need 8.0 (A100) or newer");
    }

    @Test
    void aMissingCublasLtIsToldInOneLine() {
        CudaSettings settings = settings(0);
        unavailable(new CudaSettings(0, settings.driver(), "/no/such/folder", "target/natives",
                1 << 20), "no cublasLt of CUDA 12 or 13 was found (tried /no/such/folder/"
                        + "libcublasLt.so.13, /no/such/folder/libcublasLt.so.12");
    }

    @Test
    void whatAKernelLacksKeepsTheBackEndFromStarting() {
        CudaSettings settings = settings(0);
        CudaStandIn.fail("cuModuleGetFunction", 7, Results.NOT_FOUND, false);
        // Every other module is asked for the function, too: only a failure in all is an end.
        try (CudaDevice device = new CudaDevice(settings)) {
            assertThat(device.description()).startsWith("cuda (stand-in 0, sm_90, cublasLt 13.0.0");
        }
    }

    private static void unavailable(CudaSettings settings, String message) {
        assertThatThrownBy(() -> new CudaDevice(settings))
                .isInstanceOf(CudaUnavailableException.class)
                .hasMessageContaining(message)
                .satisfies(e -> assertThat(e.getMessage().lines()).hasSize(1));
    }

    private static CudaSettings settings(int ordinal) {
        return new CudaSettings(ordinal, CudaStandIn.driver("the CUDA device"),
                CudaStandIn.folder(), "target/natives", 128L << 20);
    }

    @Test
    void callsNamedForJcudaGoThroughJcudaAndTheOthersDoNot() {
        try (CudaDevice device = new CudaDevice(settings(0))) {
            use(device);
        }
        assertThat(Gpu.all(settings(0).driver(), "target/natives"))
                .containsExactly(new Gpu(0, "stand-in 0", 90, 4, 2L << 30));
        Stream<String> own = CudaStandIn.called().stream()
                .filter(name -> CudaStandIn.calls(name, false) > 0);
        assertThat(own).containsExactlyInAnyOrderElementsOf(
                DriverLibrary.DIRECTLY.stream()
                        .filter(name -> CudaStandIn.calls(name, false) > 0).toList());
        for (String name : DriverLibrary.THROUGH_JCUDA) {
            // CudaPeerMemoryTest and DeviceGroupTest: these take another process
            if (!List.of("cuIpcCloseMemHandle", "cuStreamQuery").contains(name)) {
                assertThat(CudaStandIn.calls(name, true)).as(name).isPositive();
            }
            assertThat(CudaStandIn.calls(name, false)).as(name).isZero();
        }
        assertThat(CudaStandIn.calls("cuLaunchKernel", false)).isPositive();
        assertThat(CudaStandIn.calls("cuLaunchKernel", true)).isZero();
    }

    private static void use(CudaDevice device) {
        try (Arena arena = device.arena()) {
            Buffer x = arena.allocate(DType.F32, 1000);
            device.kernels().fill(x, 2, 1000);
            device.kernels().add(x, x, 1000);
            float[] read = new float[1000];
            device.download(MemorySegment.ofArray(read), x);
            assertThat(read).containsOnly(4f);
            assertThat(CudaStreamsTest.squares(device, x)).isEqualTo(16_000);
            try (Copier copier = device.copier(1, 4000)) {
                copier.start(0, x);
                assertThat(copier.await(0).get(ValueLayout.JAVA_FLOAT, 3996)).isEqualTo(4f);
            }
            try (Repeated doubled = device.repeated(() -> device.kernels().add(x, x, 1000))) {
                for (int i = 0; i < 4; i++) {
                    doubled.run();
                }
            }
            device.download(MemorySegment.ofArray(read), x);
            assertThat(read).containsOnly(64f);
            PeerMemory memory = device.peerMemory().orElseThrow();
            MemorySegment place = MemorySegment.ofArray(new byte[PeerMemory.PLACE_BYTES]);
            memory.place(place, x.segment());
            try (PeerMemory.Peer self = memory.peer()) {
                assertThat(self.open(place)).as("no process opens its own memory").isNull();
            }
            assertThat(device.groups().orElseThrow().identity()).hasSize(32);
        }
    }

    @Test
    void errorsOfADeviceThatIsLostAreNamedAndAreNotSwallowed() {
        for (int code : new int[] {ECC, TIMEOUT, UNKNOWN}) {
            CudaDevice device = new CudaDevice(settings(0));
            try (Arena arena = device.arena()) {
                Buffer x = arena.allocate(DType.F32, 10);
                CudaStandIn.fail("cuLaunchKernel", 1, code, true);
                device.kernels().fill(x, 1, 10);
                lost(code, () -> device.kernels().fill(x, 1, 10));
                lost(code, () -> CudaStreamsTest.squares(device, x));
                lost(code, () -> device.download(MemorySegment.ofArray(new float[10]), x));
            }
            device.close(); // quietly: there is nothing left to give back
            CudaStandIn.recover();
            try (CudaDevice next = new CudaDevice(settings(0))) {
                use(next);
            }
        }
    }

    private static void lost(int code, Runnable call) {
        assertThatThrownBy(call::run).isInstanceOfSatisfying(CudaException.class, e -> {
            assertThat(e.code()).isEqualTo(code);
            assertThat(e.lost()).isTrue();
            assertThat(e.getMessage().lines()).hasSize(1);
        });
    }

    @Test
    void anErrorFoundWhileWaitingIsThrownThere() {
        CudaDevice device = new CudaDevice(settings(0));
        try (Arena arena = device.arena()) {
            Buffer x = arena.allocate(DType.F32, 10);
            CudaStandIn.fail("cuEventSynchronize", 0, ECC, true);
            lost(ECC, () -> device.download(MemorySegment.ofArray(new float[10]), x));
        }
        device.close();
    }

    @Test
    void memoryIsBoundedReusedAndGivenBack() {
        long before = CudaStandIn.held(0);
        try (CudaDevice device = new CudaDevice(settings(0))) {
            long own = device.heldBytes();
            try (Arena arena = device.arena()) {
                assertThatThrownBy(() -> arena.allocate(DType.F32, 64L << 20))
                        .isInstanceOf(OutOfDeviceMemoryException.class)
                        .hasMessageContaining("may hold 134217728 bytes");
                assertThat(arena.allocatedBytes()).isZero();
            }
            long address = 0;
            for (int round = 0; round < 20; round++) {
                try (Arena arena = device.arena()) {
                    Buffer small = arena.allocate(DType.F32, 3);
                    Buffer large = arena.allocate(DType.F32, 10L << 20);
                    assertThat(small.segment().address() % 256).isZero();
                    assertThat(address).isIn(0L, large.segment().address());
                    address = large.segment().address();
                    assertThat(device.heldBytes()).isEqualTo(own + 256 + (40L << 20));
                }
                assertThat(device.heldBytes()).isEqualTo(own);
            }
        }
        assertThat(CudaStandIn.held(0)).isEqualTo(before);
    }

    @Test
    void aGpuWithoutRoomIsToldAsSuch() {
        try (CudaDevice device = new CudaDevice(settings(0)); Arena arena = device.arena()) {
            CudaStandIn.fail("cuMemAlloc_v2", 0, Results.OUT_OF_MEMORY, false);
            assertThatThrownBy(() -> arena.allocate(DType.F32, 20L << 20))
                    .isInstanceOf(OutOfDeviceMemoryException.class)
                    .hasMessageContaining("the GPU has no");
            long held = CudaStandIn.held(0);
            CudaStandIn.fail("cuMemAlloc_v2", 0, Results.OUT_OF_MEMORY, false);
            assertThatThrownBy(() -> new CudaDevice(new CudaSettings(0, settings(0).driver(),
                    settings(0).libraryPath(), "target/natives", 4L << 20)))
                    .isInstanceOf(OutOfDeviceMemoryException.class);
            assertThat(CudaStandIn.held(0)).isEqualTo(held);
            CudaStandIn.recover();
            Buffer again = arena.allocate(DType.F32, 20L << 20);
            assertThat(again.elements()).isEqualTo(20L << 20);
        }
    }

    @Test
    void copiesLargerThanTheStagingAreWhole() {
        try (CudaDevice device = new CudaDevice(settings(0)); Arena arena = device.arena()) {
            int[] values = new int[3_000_001];
            for (int i = 0; i < values.length; i++) {
                values[i] = i * 31;
            }
            Buffer x = arena.allocate(DType.I32, values.length);
            device.upload(x, MemorySegment.ofArray(values));
            int[] read = new int[values.length];
            device.download(MemorySegment.ofArray(read), x);
            assertThat(read).isEqualTo(values);
        }
    }

    @Test
    void answersAreThoseOfTheKernelsWhateverTheOrderOfThreads() {
        try (CudaDevice device = new CudaDevice(settings(0));
                CudaDevice other = new CudaDevice(settings(0))) {
            String answers = device.numericVersion().answers();
            CudaStandIn.reverse(true);
            assertThat(other.numericVersion().answers()).isEqualTo(answers);
            assertThat(other.numericVersion().id()).contains("cuda; cublasLt 13.0.0, kernels ")
                    .contains("sm_90, 4 multiprocessors");
        } finally {
            CudaStandIn.reverse(false);
        }
    }

    @Test
    void aBuildWithoutNvccCompilesItsKernelsAtTheFirstStart(@TempDir Path natives)
            throws IOException {
        CudaSettings build = settings(0);
        CudaSettings settings = new CudaSettings(0, build.driver(), build.libraryPath(),
                natives.toString(), build.memoryLimitBytes());
        try (CudaDevice device = new CudaDevice(settings, KernelImages::compiled)) {
            use(device);
            assertThat(device.numericVersion().engine()).contains("-nvrtc-13.0-sm_90a");
        }
        List<Path> kept;
        try (Stream<Path> files = Files.walk(natives)) {
            kept = files.filter(file -> file.toString().endsWith(".cu.cubin")).toList();
        }
        assertThat(kept).hasSizeGreaterThan(5);
        assertThat(KernelImages.compiled(settings, 90).modules()).hasSameSizeAs(kept);
        assertThatThrownBy(() -> KernelImages.compiled(new CudaSettings(0, build.driver(),
                "/no/such/folder", natives.toString(), 1), 90))
                .isInstanceOf(CudaUnavailableException.class)
                .hasMessageContaining("this build was made without nvcc");
        assertThatThrownBy(() -> Nvrtc.open(settings.libraryPath()).compile("broken.cu",
                "#include \"none.cuh\"", Map.of(), List.of("--gpu-architecture=sm_80", "--fmad=false")))
                .isInstanceOf(CudaUnavailableException.class)
                .hasMessageContaining("NVRTC 13.0 cannot compile broken.cu: catastrophic error");
    }

    @Test
    void aClosedDeviceSaysSo() {
        CudaDevice device = new CudaDevice(settings(0));
        Arena arena = device.arena();
        Buffer x = arena.allocate(DType.F32, 1);
        arena.close();
        assertThatThrownBy(() -> device.kernels().fill(x, 1, 1))
                .isInstanceOf(IllegalStateException.class).hasMessageContaining("arena");
        device.close();
        device.close();
        assertThatThrownBy(() -> device.arena().allocate(DType.F32, 1))
                .isInstanceOf(IllegalStateException.class).hasMessageContaining("closed");
    }
}
