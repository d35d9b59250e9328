package castalia.kernels.cuda;

import static org.assertj.core.api.Assertions.assertThat;

import castalia.kernels.Arena;
import castalia.kernels.Buffer;
import castalia.kernels.DType;
import castalia.kernels.DeviceGroup;
import castalia.kernels.DeviceGroups;
import castalia.testing.CudaStandIn;
import java.lang.foreign.MemorySegment;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.atomic.AtomicBoolean;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

/** Devices that send each other memory by NCCL, on the stand-ins. */
@Timeout(value = 60, threadMode = Timeout.ThreadMode.SEPARATE_THREAD)
class DeviceGroupTest {

    private static final int ELEMENTS = 100_000;

    private static final ExecutorService THREADS = Executors.newCachedThreadPool(
            Thread.ofPlatform().daemon().name("rank-", 0).factory());

    @AfterEach
    void environmentAsItWas() {
        CudaStandIn.environment("CASTALIA_STANDIN_DEVICES", null);
        CudaStandIn.environment("CASTALIA_STANDIN_NCCL", null);
    }

    private static CudaDevice device(int ordinal) {
        CudaStandIn.environment("CASTALIA_STANDIN_DEVICES", "3");
        return new CudaDevice(new CudaSettings(ordinal, CudaStandIn.driver("groups of devices"),
                CudaStandIn.folder(), "target/natives", 128L << 20));
    }

    /** What a rank does with its group. */
    private interface Part<T> {
        T with(int rank, CudaDevice device, Optional<DeviceGroup> group);
    }

    private static <T> List<T> ranks(int count, Part<T> part) {
        List<CudaDevice> devices = new ArrayList<>();
        for (int r = 0; r < count; r++) {
            devices.add(device(r));
        }
        byte[] invitation = devices.getFirst().groups().orElseThrow().invitation()
                .orElseThrow();
        List<CompletableFuture<T>> all = new ArrayList<>();
        for (int r = 0; r < count; r++) {
            int rank = r;
            all.add(CompletableFuture.supplyAsync(() -> {
                try (CudaDevice device = devices.get(rank)) {
                    DeviceGroups groups = device.groups().orElseThrow();
                    Optional<DeviceGroup> group =
                            groups.join(invitation, count, rank, () -> true);
                    try {
                        return part.with(rank, device, group);
                    } finally {
                        group.ifPresent(DeviceGroup::close);
                    }
                }
            }, THREADS));
        }
        return all.stream().map(CompletableFuture::join).toList();
    }

    @Test
    void everyRankGetsWhatTheOthersSendAsItIsWhenItsTurnComes() {
        List<List<Float>> got = ranks(3, (rank, device, group) -> {
            try (Arena arena = device.arena()) {
                Buffer own = arena.allocate(DType.F32, ELEMENTS);
                List<Buffer> others = new ArrayList<>();
                List<Float> read = new ArrayList<>();
                for (int round = 0; round < 3; round++) {
                    device.kernels().fill(own, rank + 10f * round, ELEMENTS);
                    for (int r = 0; r < 3; r++) {
                        if (r != rank) {
                            Buffer other = arena.allocate(DType.F32, ELEMENTS);
                            others.add(other);
                            group.orElseThrow().send(r, own.segment());
                            group.orElseThrow().receive(r, other.segment());
                        }
                    }
                    assertThat(group.orElseThrow().exchange(() -> true)).isTrue();
                }
                for (Buffer other : others) {
                    float[] values = new float[ELEMENTS];
                    device.download(MemorySegment.ofArray(values), other);
                    assertThat(values).containsOnly(values[0]);
                    read.add(values[0]);
                }
                return read;
            }
        });
        assertThat(got).containsExactly(List.of(1f, 2f, 11f, 12f, 21f, 22f),
                List.of(0f, 2f, 10f, 12f, 20f, 22f), List.of(0f, 1f, 10f, 11f, 20f, 21f));
    }

    @Test
    void whoLosesAPeerOrIsToldToStopDoesAndItsDeviceGoesOn() {
        AtomicBoolean goOn = new AtomicBoolean(true);
        List<Boolean> done = ranks(2, (rank, device, group) -> {
            try (Arena arena = device.arena()) {
                Buffer x = arena.allocate(DType.F32, ELEMENTS);
                if (rank == 1) {
                    group.orElseThrow().close();
                    goOn.set(false);
                    return group.orElseThrow().exchange(() -> true); // of no use any more
                }
                group.orElseThrow().receive(1, x.segment());
                boolean whole = group.orElseThrow().exchange(goOn::get);
                device.kernels().fill(x, 3, ELEMENTS);
                float[] values = new float[ELEMENTS];
                device.download(MemorySegment.ofArray(values), x);
                assertThat(values).containsOnly(3);
                return whole;
            }
        });
        assertThat(done).containsExactly(false, false);
    }

    @Test
    void whoMeetsNobodyStopsWhenItIsTold() {
        try (CudaDevice device = device(0)) {
            DeviceGroups groups = device.groups().orElseThrow();
            long end = System.nanoTime() + 200_000_000L;
            assertThat(groups.join(groups.invitation().orElseThrow(), 2, 0,
                    () -> System.nanoTime() - end < 0)).isEmpty();
            groups.giveUp();
            assertThat(device.groups()).isEmpty();
        }
    }

    @Test
    void aLibraryThatIsMissingOrTooOldIsToldInOneLine() {
        CudaSettings nowhere = new CudaSettings(0, "x", "/no/such/folder", "x", 1);
        assertThat(CudaDevice.whyNoGroups(nowhere)).isEqualTo("no NCCL was found (tried"
                + " /no/such/folder/libnccl.so.2); name its folder in castalia.gpu.library-path");
        CudaStandIn.environment("CASTALIA_STANDIN_NCCL", "21205");
        CudaStandIn.driver("groups of devices");
        String other = CudaStandIn.folder() + "/.";
        assertThat(CudaDevice.whyNoGroups(new CudaSettings(0, "x", other, "x", 1))).isEqualTo(
                other + "/libnccl.so.2 is NCCL 2.12.5; 2.14 or newer is needed");
    }
}
