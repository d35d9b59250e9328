package castalia.protocol.run;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import castalia.protocol.control.Committed;
import castalia.protocol.control.HolderReport;
import castalia.protocol.control.HolderReport.Held;
import castalia.protocol.identity.Fence;
import castalia.protocol.identity.Incarnation;
import castalia.protocol.layout.SliceBlock;
import castalia.protocol.step.ScalarState;
import castalia.protocol.step.StateDigest;
import castalia.protocol.step.Verdict;
import java.util.List;
import java.util.Optional;
import java.util.stream.LongStream;
import org.junit.jupiter.api.Test;

class RollForwardTest {

    private static final Incarnation A = new Incarnation(1);
    private static final Incarnation B = new Incarnation(2);
    private static final Incarnation C = new Incarnation(3);

    private static ScalarState scalars(long step) {
        return new ScalarState(step, step, 1, 0, -1, 1);
    }

    private static Committed committed(long step) {
        return new Committed(step, new Verdict.Apply(1, 2, new StateDigest(step, step), 0.5f));
    }

    private static Held held(int chunk, long version, boolean gradient) {
        return new Held(chunk, version, gradient, new StateDigest(chunk, version));
    }

    /** A worker at {@code version}; {@code known} is the last step it knows to be committed. */
    private static HolderReport report(
            Incarnation worker, long version, long known, Held... chunks) {
        return new HolderReport(new Fence(1, 9), worker, Optional.of(scalars(version)),
                List.of(chunks), version, SliceBlock.NONE,
                known < 0 ? Optional.empty() : Optional.of(committed(known)));
    }

    private static HolderReport empty(Incarnation worker) {
        return new HolderReport(new Fence(1, 9), worker, Optional.empty(), List.of(), -1, SliceBlock.NONE,
                Optional.empty());
    }

    @Test
    void whereNobodyHoldsAnythingThereIsNothing() {
        assertThat(RollForward.of(List.of(), 2)).isEqualTo(new RollForward.Nothing());
        assertThat(RollForward.of(List.of(empty(A), empty(B)), 2))
                .isEqualTo(new RollForward.Nothing());
        assertThat(RollForward.of(List.of(report(A, 7, 6)), 2))
                .as("scalars without a chunk are no state").isEqualTo(new RollForward.Nothing());
    }

    @Test
    void atOneVersionEverybodyIsThere() {
        RollForward result = RollForward.of(List.of(
                report(A, 5, 4, held(0, 5, false), held(1, 5, true)),
                report(B, 5, 4, held(1, 5, false)), empty(C)), 2);
        assertThat(result).isEqualTo(new RollForward.Memory(
                scalars(5), Optional.of(committed(4)), List.of(List.of(A), List.of(A, B))));
    }

    @Test
    void aVersionOthersHaveIsReachedWithTheCommittedGradient() {
        RollForward result = RollForward.of(List.of(
                report(A, 6, 5, held(0, 6, false)),
                report(B, 5, 5, held(0, 5, true), held(1, 5, true))), 2);
        assertThat(result).isEqualTo(new RollForward.Memory(
                scalars(6), Optional.of(committed(5)), List.of(List.of(A, B), List.of(B))));
    }

    @Test
    void aSkippedStepIsRolledForwardAsAnyOther() {
        Committed skip = new Committed(5, new Verdict.Skip(2, new StateDigest(5, 5)));
        ScalarState after = new ScalarState(6, 5, 2048, 6, 5, 1);
        RollForward result = RollForward.of(List.of(
                new HolderReport(new Fence(1, 9), A, Optional.of(after),
                        List.of(held(0, 6, false)), 6, SliceBlock.NONE, Optional.of(skip)),
                report(B, 5, 4, held(0, 5, true), held(1, 5, true))), 2);
        assertThat(result).isEqualTo(new RollForward.Memory(
                after, Optional.of(skip), List.of(List.of(A, B), List.of(B))));
    }

    @Test
    void theUpdateMayBeKnownToSomebodyElse() {
        RollForward result = RollForward.of(List.of(
                report(A, 6, 5, held(0, 6, false)), report(B, 5, -1, held(1, 5, true))), 2);
        assertThat(result).isInstanceOf(RollForward.Memory.class);
        assertThat(((RollForward.Memory) result).update()).contains(committed(5));
    }

    @Test
    void finishedGradientsWithoutACommitAreNotApplied() {
        RollForward result = RollForward.of(List.of(
                report(A, 5, 4, held(0, 5, true)), report(B, 5, 4, held(1, 5, true))), 2);
        assertThat(((RollForward.Memory) result).scalars()).isEqualTo(scalars(5));
    }

    @Test
    void aChunkBehindWithoutItsGradientOrTwoBehindIsLost() {
        HolderReport ahead = report(A, 6, 5, held(0, 6, false));
        assertThat(RollForward.of(List.of(ahead, report(B, 5, 5, held(1, 5, false))), 2))
                .isEqualTo(new RollForward.Lost(List.of(1)));
        assertThat(RollForward.of(List.of(ahead, report(B, 4, 3, held(1, 4, true))), 2))
                .isEqualTo(new RollForward.Lost(List.of(1)));
    }

    @Test
    void aGradientNobodyKnowsTheVerdictOfIsOfNoUse() {
        assertThat(RollForward.of(List.of(report(A, 6, -1, held(0, 6, false)),
                        report(B, 5, 4, held(1, 5, true))), 2))
                .isEqualTo(new RollForward.Lost(List.of(1)));
    }

    @Test
    void aChunkWithoutHolderIsLostAndNamed() {
        assertThat(RollForward.of(List.of(report(A, 5, 4, held(1, 5, false))), 4))
                .isEqualTo(new RollForward.Lost(List.of(0, 2, 3)));
    }

    @Test
    void copiesThatDisagreeAreNotTrusted() {
        Held other = new Held(0, 5, false, new StateDigest(-1, -1));
        assertThat(RollForward.of(List.of(
                        report(A, 5, 4, held(0, 5, false)), report(B, 5, 4, other)), 1))
                .isEqualTo(new RollForward.Lost(List.of(0)));
    }

    @Test
    void aChunkBeyondTheGridIsRefused() {
        assertThatThrownBy(() -> RollForward.of(List.of(report(A, 5, 4, held(2, 5, false))), 2))
                .hasMessage("chunk 2 of 2");
    }

    /** Whoever of two holders is missing, wherever each was when the step was committed. */
    @Test
    void anyOneOfTwoHoldersIsEnoughOnBothSidesOfACommit() {
        LongStream.of(5, 6).forEach(a -> LongStream.of(5, 6).forEach(b -> {
            HolderReport first = report(A, a, 5, held(0, a, a == 5), held(1, a, a == 5));
            HolderReport second = report(B, b, 5, held(1, b, b == 5), held(2, b, b == 5));
            HolderReport third = report(C, a, 5, held(2, a, a == 5), held(0, a, a == 5));
            for (List<HolderReport> left : List.of(List.of(first, second),
                    List.of(second, third), List.of(first, third))) {
                assertThat(RollForward.of(left, 3)).isInstanceOf(RollForward.Memory.class);
            }
        }));
    }
}
