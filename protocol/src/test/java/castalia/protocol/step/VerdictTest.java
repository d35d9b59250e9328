package castalia.protocol.step;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import castalia.protocol.step.Vote.HeldChunk;
import castalia.protocol.step.Vote.LossSum;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.Random;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

class VerdictTest {

    private static final StateDigest A = new StateDigest(1, 10);
    private static final StateDigest B = new StateDigest(2, 20);

    /** Two ranks, each owner of one chunk and buddy of the other, two virtual ranks each. */
    private static List<Vote> votes(double squares0, double squares1) {
        List<HeldChunk> held =
                List.of(new HeldChunk(0, A, squares0), new HeldChunk(1, B, squares1));
        return List.of(
                new Vote(0, 5, held, List.of(new LossSum(0, 10), new LossSum(1, 20))),
                new Vote(1, 5, held, List.of(new LossSum(2, 30), new LossSum(3, 40))));
    }

    private static Verdict verdict(List<Vote> votes, double mean, double clip) {
        return Verdict.of(votes, 2, 4, 50, mean, clip);
    }

    private static Verdict.Apply apply(List<Vote> votes, double mean, double clip) {
        return switch (verdict(votes, mean, clip)) {
            case Verdict.Apply apply -> apply;
            case Verdict.Skip skip -> throw new AssertionError(skip);
            case Verdict.Corrupt corrupt -> throw new AssertionError(corrupt);
        };
    }

    @Test
    void normLossAndDigestAreThoseOfTheGlobalBatch() {
        Verdict.Apply apply = apply(votes(9, 16), 0.5, 100);
        assertThat(apply.norm()).isEqualTo(2.5);
        assertThat(apply.loss()).isEqualTo(2);
        assertThat(apply.state()).isEqualTo(new StateDigest(3, 30));
        assertThat(apply.gradientFactor()).isEqualTo(0.5f);
    }

    /** numerics.md 5: {@code c = (norm + 1e-6) / clip}; mean / c where c exceeds 1, else mean. */
    @ParameterizedTest
    @CsvSource({
        "25, 1, 5.1, 1",
        "25, 1, 0, 1",
        "25, 1, 5.000001, 1",
        "25, 1, 5, 0.99999980000004",
        "25, 1, 1, 0.19999996000000798",
        "25, 0.25, 1, 0.19999984000012799",
        "25, 0.125, 1, 0.125",
        "0, 1, 1, 1",
    })
    void theGradientIsDividedByTheExcessOverTheClip(
            double squares, double mean, double clip, double factor) {
        assertThat(apply(votes(squares, 0), mean, clip).gradientFactor())
                .isEqualTo((float) factor);
    }

    @ParameterizedTest
    @ValueSource(doubles = {Double.NaN, Double.POSITIVE_INFINITY})
    void aGradientThatIsNotFiniteSkipsTheUpdate(double squares) {
        assertThat(verdict(votes(1, squares), 1, 1))
                .isEqualTo(new Verdict.Skip(2, new StateDigest(3, 30)));
        assertThat(verdict(votes(Double.MAX_VALUE, Double.MAX_VALUE), 1, 1))
                .isInstanceOf(Verdict.Skip.class);
    }

    @Test
    void aLossThatIsNotFiniteDoesNotSkipByItself() {
        List<Vote> votes = new ArrayList<>(votes(1, 1));
        votes.set(1, new Vote(1, 5, votes.get(1).chunks(),
                List.of(new LossSum(2, Double.NaN), new LossSum(3, 1))));
        assertThat(apply(votes, 1, 1).loss()).isNaN();
    }

    @Test
    void holdersThatDisagreeAboutTheStateAreNamed() {
        List<Vote> votes = new ArrayList<>(votes(1, 1));
        votes.set(1, new Vote(1, 5,
                List.of(new HeldChunk(0, A, 1), new HeldChunk(1, new StateDigest(2, 21), 1)),
                votes.get(1).losses()));
        assertThat(verdict(votes, 1, 1))
                .isEqualTo(new Verdict.Corrupt(1, "state", List.of(0, 1)));
    }

    @Test
    void holdersThatDisagreeAboutTheGradientAreNamed() {
        List<Vote> votes = new ArrayList<>(votes(1, 1));
        votes.set(1, new Vote(1, 5,
                List.of(new HeldChunk(0, A, Math.nextUp(1.0)), new HeldChunk(1, B, 1)),
                votes.get(1).losses()));
        assertThat(verdict(votes, 1, 1))
                .isEqualTo(new Verdict.Corrupt(0, "gradient", List.of(0, 1)));
    }

    @Test
    void holdersThatBothHaveNoFiniteGradientAgree() {
        assertThat(verdict(votes(Double.NaN, 1), 1, 1)).isInstanceOf(Verdict.Skip.class);
    }

    @Test
    void theOrderOfVotesDoesNotMatter() {
        Random random = new Random(3);
        for (int round = 0; round < 200; round++) {
            int ranks = 1 + random.nextInt(6);
            boolean corrupt = round % 3 == 0;
            List<Vote> votes = new ArrayList<>();
            for (int rank = 0; rank < ranks; rank++) {
                List<HeldChunk> held = new ArrayList<>();
                for (int chunk = 0; chunk < 8; chunk++) {
                    long noise = corrupt && random.nextInt(4) == 0 ? 1 : 0;
                    held.add(new HeldChunk(
                            chunk, new StateDigest(chunk, noise), 0.1 * (chunk + 1)));
                }
                List<LossSum> losses = new ArrayList<>();
                for (int v = rank; v < 6; v += ranks) {
                    losses.add(new LossSum(v, 1.0 / (v + 3)));
                }
                votes.add(new Vote(rank, 9, held, losses));
            }
            Verdict expected = Verdict.of(votes, 8, 6, 7, 1, 1);
            for (int shuffle = 0; shuffle < 5; shuffle++) {
                Collections.shuffle(votes, random);
                assertThat(Verdict.of(votes, 8, 6, 7, 1, 1)).isEqualTo(expected);
            }
        }
    }

    @Test
    void lossesAreSummedByTheTreeAndSquaresByIndex() {
        double[] losses = {1, 1e-16, 1e-16, 1e-16};
        List<LossSum> sums = new ArrayList<>();
        for (int v = 0; v < losses.length; v++) {
            sums.add(new LossSum(v, losses[v]));
        }
        Vote vote = new Vote(0, 0,
                List.of(
                        new HeldChunk(0, A, 1), new HeldChunk(1, A, 1e-16),
                        new HeldChunk(2, A, 1e-16)),
                sums);
        Verdict verdict = Verdict.of(List.of(vote), 3, 4, 1, 1, 0);
        assertThat(verdict).isEqualTo(new Verdict.Apply(
                1, (1 + 1e-16) + (1e-16 + 1e-16), new StateDigest(3, 30), 1));
    }

    @Test
    void votesThatAreNotACompleteSetAreRefused() {
        List<Vote> votes = votes(1, 1);
        assertThatThrownBy(() -> Verdict.of(votes, 3, 4, 50, 1, 1))
                .hasMessage("no vote names chunk 2");
        assertThatThrownBy(() -> Verdict.of(votes, 2, 5, 50, 1, 1))
                .hasMessage("no vote has the loss of virtual rank 4 of 5");
        assertThatThrownBy(() -> Verdict.of(votes, 1, 4, 50, 1, 1))
                .hasMessage("rank 0 votes on chunk 1; there are 1");
        assertThatThrownBy(() -> Verdict.of(votes, 2, 3, 50, 1, 1))
                .hasMessage("rank 1 votes on virtual rank 3; there are 3");
        assertThatThrownBy(() -> Verdict.of(
                        List.of(votes.get(0), new Vote(1, 6, List.of(), List.of())),
                        2, 4, 50, 1, 1))
                .hasMessage("votes of steps 5 and 6");
        assertThatThrownBy(() -> Verdict.of(
                        List.of(votes.get(0), votes.get(0)), 2, 4, 50, 1, 1))
                .hasMessage("two votes of rank 0");
    }

    @Test
    void aVoteWithImpossibleNumbersIsRefused() {
        assertThatThrownBy(() -> new Vote(-1, 0, List.of(), List.of()))
                .hasMessage("vote of rank -1 for step 0");
        assertThatThrownBy(() -> new HeldChunk(0, A, -1))
                .hasMessage("chunk 0 with a sum of squares of -1.0");
        assertThatThrownBy(() -> new LossSum(-1, 0)).hasMessage("virtual rank -1");
    }
}
