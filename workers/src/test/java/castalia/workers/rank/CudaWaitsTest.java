package castalia.workers.rank;

import static org.assertj.core.api.Assertions.assertThat;

import castalia.protocol.model.Gelu;
import castalia.protocol.model.ModelShape;
import castalia.protocol.planner.Recomputation;
import castalia.protocol.specification.Initialisation;
import castalia.protocol.specification.Precision;
import castalia.protocol.specification.TrainingPlan;
import castalia.testing.CudaStandIn;
import java.util.List;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;

/** How often the host waits for a GPU, counted by the stand-in for the driver. */
@Tag("default")
class CudaWaitsTest {

    private static final String NAME = "waits for the CUDA back end";
    private static final List<String> WAITING = List.of("cuStreamSynchronize", "cuCtxSynchronize",
            "cuEventSynchronize", "cuMemcpyDtoH_v2", "cuMemcpyHtoD_v2");

    /** Losses, gradient norm, digests. */
    private static final int WAITS = 3;

    private static long waits() {
        long sum = 0;
        for (String function : WAITING) {
            sum += CudaStandIn.calls(function, true) + CudaStandIn.calls(function, false);
        }
        return sum;
    }

    private static TrainingPlan plan(int layers, int hidden, int sequences, Precision precision) {
        ModelShape shape = new ModelShape(layers, hidden, 4, 4 * hidden, 96, 16, 4, 10000, 1e-5,
                true, Gelu.ERF, 1);
        return TinyRun.in(TinyRun.plan(shape).virtualRanks(2).globalBatch(sequences).build(),
                precision);
    }

    private static long waitsOfAStep(TrainingPlan plan, Recomputation recomputation, int chunks) {
        try (RankGroup group = new RankGroup(RankSettings.of(plan, recomputation), 1,
                rank -> TinyRun.cuda(NAME, rank), TinyRun.DEADLINE)) {
            assertThat(group.rank(0).held().chunks()).hasSizeGreaterThanOrEqualTo(chunks);
            StateTransfer.initialise(group, Initialisation.Drawn.published());
            TinyRun.trace(group, 1); // whatever only the first one does
            long before = waits();
            TinyRun.trace(group, 2);
            return (waits() - before) / 2;
        }
    }

    @Test
    void aStepWaitsThreeTimesWhateverTheModel() {
        assertThat(waitsOfAStep(plan(1, 16, 2, Precision.BF16), Recomputation.NONE, 5))
                .isEqualTo(WAITS);
        assertThat(waitsOfAStep(plan(5, 32, 2, Precision.FP32), Recomputation.BLOCK, 25))
                .isEqualTo(WAITS);
    }

    /** What goes to the device waits for room, so that the host is never far ahead. */
    @Test
    void moreMicroBatchesWaitForRoomAlone() {
        int sequences = 16;
        assertThat(waitsOfAStep(plan(3, 16, sequences, Precision.FP16), Recomputation.NONE, 15))
                .isLessThanOrEqualTo(WAITS + 2 * sequences);
    }
}
