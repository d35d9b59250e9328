package castalia.protocol.specification;

import static org.assertj.core.api.Assertions.assertThat;

import castalia.protocol.model.PythiaModels;
import castalia.protocol.schedule.LearningRateSchedule;
import org.junit.jupiter.api.Test;

class RunSpecificationTest {
    private static final TrainingPlan PLAN = TrainingPlan.builder(
                    PythiaModels.named("pythia-14m").orElseThrow().shape(),
                    new LearningRateSchedule.Constant(0.001, 0))
            .trainSteps(10).globalBatch(4).build();
    private static final DataManifest DATA =
            DataManifest.ofKind("tokens").with("data.bin.sha256", "ab").with("order.seed", "1");

    @Test
    void equalSpecificationsDifferInNothing() {
        assertThat(PLAN.specification(DATA, "v").differencesFrom(PLAN.specification(DATA, "v")))
                .isEmpty();
    }

    @Test
    void everyDifferenceIsNamedWithBothValues() {
        TrainingPlan other = PLAN.toBuilder().trainSteps(11).seed(7)
                .initialisation(Initialisation.Drawn.defaults()).build();
        DataManifest changed =
                DataManifest.ofKind("tokens").with("data.bin.sha256", "cd").with("more", "x");
        assertThat(other.specification(changed, "w").differencesFrom(PLAN.specification(DATA, "v")))
                .containsExactly("train-iters is 11, was 10", "seed is 7, was 1234",
                        "initial weights is " + Initialisation.Drawn.defaults() + ", was "
                                + Initialisation.Drawn.published(),
                        "data.bin.sha256 is cd, was ab", "more is x, was absent",
                        "order.seed is absent, was 1", "numeric version is w, was v");
    }

    @Test
    void anotherOrderOfTheSameFactsIsADifferenceToo() {
        DataManifest turned = DataManifest.ofKind("tokens")
                .with("order.seed", "1").with("data.bin.sha256", "ab");
        assertThat(PLAN.specification(turned, "v").differencesFrom(PLAN.specification(DATA, "v")))
                .containsExactly("the order of the data's facts");
    }
}
