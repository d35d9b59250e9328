package castalia.workers.model;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.within;

import castalia.kernels.DType;
import castalia.kernels.Device;
import castalia.kernels.reference.ReferenceDevice;
import castalia.protocol.layout.FlatLayout;
import castalia.protocol.model.Gelu;
import castalia.protocol.model.ModelShape;
import castalia.protocol.model.NeoxParameters;
import castalia.protocol.model.Parameter;
import castalia.protocol.planner.Recomputation;
import castalia.protocol.specification.Precision;
import castalia.protocol.specification.TrainingPlan;
import castalia.workers.rank.TinyRun.Layout;
import castalia.workers.rank.TinyRun;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

/**
 * The whole model on the CPU back end against the plain reference, for shapes that are no multiple
 * of anything: logits and every gradient.
 */
class OddShapesTest {

    /** In fp32 both round the same quantities, but sum in other orders; 1e-6 was measured. */
    private static final double FP32 = 5e-6;

    /** A bf16 step is 2^-8 of a value; some differ by one, layers carry it on; 0.018 measured. */
    private static final double BF16 = 0.03;

    /** An F16 step is 2^-11 of a value. */
    private static final double F16 = 0.005;

    /** Shapes: layers, hidden, heads, intermediate, vocabulary, rotary; T; batch and sequence. */
    enum Odd {
        ODD_HEADS(2, 15, 3, 37, 53, 4, true, Gelu.ERF, 1, 2, 17),
        FULL_ROTARY(2, 12, 2, 29, 31, 6, false, Gelu.TANH, 1, 1, 13),
        NO_ROTARY(1, 21, 3, 5, 17, 0, true, Gelu.TANH, 1, 3, 7),
        ODD_DIMENSION_SLICED(2, 30, 6, 34, 106, 2, true, Gelu.ERF, 2, 1, 19),
        SEQUENTIAL_SLICED(3, 20, 4, 36, 60, 4, false, Gelu.ERF, 4, 2, 11),
        ONE_HEAD(2, 7, 1, 3, 2, 6, true, Gelu.ERF, 1, 5, 3),
        ONE_TOKEN(2, 10, 5, 11, 13, 2, false, Gelu.TANH, 1, 1, 1),
        TWO_SWEEPS(1, 33, 3, 65, 129, 10, true, Gelu.TANH, 1, 3, 97),
        LONG(1, 40, 5, 70, 83, 8, true, Gelu.ERF, 1, 1, 301);

        private final ModelShape shape;
        private final int tensorSlices;
        private final int batch;
        private final int sequence;

        Odd(int layers, int hidden, int heads, int intermediate, int vocabulary, int rotary,
                boolean parallel, Gelu gelu, int tensorSlices, int batch, int sequence) {
            this.shape = new ModelShape(layers, hidden, heads, intermediate, vocabulary, sequence,
                    rotary, 10000, 1e-5, parallel, gelu, 1);
            this.tensorSlices = tensorSlices;
            this.batch = batch;
            this.sequence = sequence;
        }

        ModelPlan plan(DType type, Recomputation recomputation) {
            return new ModelPlan(FlatLayout.of(shape, tensorSlices), batch, sequence, type,
                    recomputation);
        }
    }

    @ParameterizedTest
    @EnumSource
    void logitsAndGradientsOfTheCpuAreTheReferences(Odd odd) {
        compare(odd, DType.F32, FP32);
    }

    @ParameterizedTest
    @EnumSource(names = {"ODD_HEADS", "ODD_DIMENSION_SLICED", "SEQUENTIAL_SLICED", "TWO_SWEEPS"})
    void logitsAndGradientsInF16AreTheReferencesToAFewRoundings(Odd odd) {
        compare(odd, DType.F16, F16);
    }

    @ParameterizedTest
    @EnumSource(names = {"ODD_HEADS", "ODD_DIMENSION_SLICED", "SEQUENTIAL_SLICED", "TWO_SWEEPS"})
    void logitsAndGradientsInBf16AreTheReferencesToAFewRoundings(Odd odd) {
        compare(odd, DType.BF16, BF16);
    }

    private static void compare(Odd odd, DType type, double bound) {
        try (Device fast = TinyRun.devices(2).apply(0);
                Device plain = new ReferenceDevice();
                TinyModel ours = new TinyModel(fast, odd.plan(type, Recomputation.BLOCK), true);
                TinyModel theirs =
                        new TinyModel(plain, odd.plan(type, Recomputation.NONE), true)) {
            int rows = ours.plan().rows();
            assertThat(TinyModel.difference(ours.logits(0, rows), theirs.logits(0, rows)))
                    .as("logits").isLessThan(bound);
            assertThat(ours.lossAndGradient(false))
                    .isCloseTo(theirs.lossAndGradient(false), within(bound));
            for (Parameter parameter : NeoxParameters.of(odd.shape)) {
                assertThat(TinyModel.difference(
                                ours.gradient(parameter), theirs.gradient(parameter)))
                        .as(parameter.name()).isLessThan(bound);
            }
        }
    }

    @ParameterizedTest
    @EnumSource(names = {"ODD_HEADS", "FULL_ROTARY", "NO_ROTARY", "SEQUENTIAL_SLICED"})
    void ranksChangeNoBitOfAnOddShape(Odd odd) {
        TrainingPlan plan = TinyRun.plan(odd.shape).tensorSlices(odd.tensorSlices)
                .virtualRanks(3).globalBatch(6).precision(Precision.BF16).build();
        assertThat(TinyRun.trace(plan, new Layout(3, 2, Recomputation.BLOCK), 4))
                .isEqualTo(TinyRun.trace(plan, Layout.plain(), 4))
                .doesNotHaveDuplicates();
    }
}
