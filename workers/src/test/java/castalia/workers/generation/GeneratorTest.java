package castalia.workers.generation;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import castalia.kernels.DType;
import castalia.kernels.Device;
import castalia.protocol.CastaliaException;
import castalia.protocol.ErrorCode;
import castalia.protocol.model.ModelShape;
import castalia.protocol.specification.Precision;
import castalia.protocol.specification.TrainingPlan;
import castalia.workers.model.FlatViews;
import castalia.workers.rank.RankGroup;
import castalia.workers.rank.TinyRun;
import castalia.workers.rank.TinyRun.Layout;
import java.lang.foreign.ValueLayout;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.function.Function;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.TestInstance;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

@TestInstance(TestInstance.Lifecycle.PER_CLASS)
class GeneratorTest {

    private static final ModelShape SHAPE = TinyRun.shape();
    private static final int[] PROMPT = {5, 17, 99, 3};

    private final Device device = TinyRun.devices(1).apply(0);

    @AfterAll
    void close() {
        device.close();
    }

    private <T> T with(TrainingPlan plan, Function<Generator, T> use) {
        try (RankGroup group = TinyRun.group(plan, Layout.plain());
                Generator generator = new Generator(
                        group.settings().grid(), device, group.rank(0).compute())) {
            return use.apply(generator);
        }
    }

    private static TrainingPlan plan(int tensorSlices, Precision precision) {
        return TinyRun.in(TinyRun.plan(SHAPE).tensorSlices(tensorSlices).build(), precision);
    }

    private static int[] generate(Generator generator, int[] prompt, int count) {
        return generator.generate(prompt, count, 102, new Sampling(1, 0, 5), _ -> true);
    }

    @ParameterizedTest
    @CsvSource({"1, FP32", "2, FP32", "1, BF16", "2, BF16", "1, FP16"})
    void thePromptIsContinuedTheSameWayEveryTime(int tensorSlices, Precision precision) {
        TrainingPlan plan = plan(tensorSlices, precision);
        int[] first = with(plan, generator -> generate(generator, PROMPT, 18));
        assertThat(first).hasSize(22).startsWith(PROMPT);
        assertThat(Arrays.stream(first).distinct().count()).isGreaterThan(8);
        int[] again = with(plan, generator -> {
            generate(generator, new int[] {1, 2}, 20);
            return generate(generator, PROMPT, 18);
        });
        assertThat(again).as("after another text").isEqualTo(first);
        int[] other = with(plan, generator ->
                generator.generate(PROMPT, 18, 102, new Sampling(1, 0, 6), _ -> true));
        assertThat(other).as("another seed").isNotEqualTo(first);
    }

    @Test
    void tensorSlicesDoNotChangeTheText() {
        int[] one = with(plan(1, Precision.FP32), generator -> generate(generator, PROMPT, 40));
        int[] two = with(plan(2, Precision.FP32), generator -> generate(generator, PROMPT, 40));
        assertThat(two).as("close weights and logits, the same draws").isEqualTo(one);
    }

    @Test
    void aContextLongerThanTheModelKeepsItsEnd() {
        with(plan(1, Precision.FP32), generator -> {
            int[] longer = new int[50];
            for (int i = 0; i < longer.length; i++) {
                longer[i] = i;
            }
            int[] end = Arrays.copyOfRange(longer, 30, 50);
            Sampling greedy = Sampling.greedy();
            int[] all = generator.generate(longer, 3, 102, greedy, _ -> true);
            int[] some = generator.generate(end, 3, 102, greedy, _ -> true);
            assertThat(all).hasSize(53).startsWith(longer);
            assertThat(Arrays.copyOfRange(all, 50, 53))
                    .isEqualTo(Arrays.copyOfRange(some, 20, 23));
            return generator;
        });
    }

    @Test
    void tokensBeyondTheTokenizerAreNeverChosen() {
        int[] tokens = with(plan(1, Precision.FP32), generator ->
                generator.generate(new int[] {0}, 60, 4, new Sampling(3, 0, 5), _ -> true));
        assertThat(tokens).containsOnly(0, 1, 2, 3);
    }

    @Test
    void theListenerHearsEveryTokenAndMayEndTheText() {
        with(plan(1, Precision.FP32), generator -> {
            List<Integer> heard = new ArrayList<>();
            int[] tokens = generator.generate(PROMPT, 40, 102, Sampling.greedy(), token -> {
                heard.add(token);
                return heard.size() < 6;
            });
            assertThat(tokens).hasSize(PROMPT.length + 6);
            assertThat(Arrays.stream(tokens).skip(PROMPT.length).boxed().toList())
                    .isEqualTo(heard);
            assertThat(generate(generator, PROMPT, 0)).isEqualTo(PROMPT);
            return generator;
        });
    }

    @Test
    void impossibleRequestsAreRefused() {
        with(plan(1, Precision.FP32), generator -> {
            assertThatThrownBy(() -> generate(generator, new int[0], 3))
                    .isInstanceOf(IllegalArgumentException.class)
                    .hasMessageContaining("no token");
            assertThatThrownBy(() -> generate(generator, PROMPT, -1))
                    .isInstanceOf(IllegalArgumentException.class)
                    .hasMessageContaining("-1");
            assertThatThrownBy(() -> generator.generate(
                            PROMPT, 1, 0, Sampling.greedy(), _ -> true))
                    .isInstanceOf(IllegalArgumentException.class)
                    .hasMessageContaining("vocabulary of 0");
            assertThatThrownBy(() -> generate(generator, new int[] {1, 102}, 3))
                    .isInstanceOf(IllegalArgumentException.class)
                    .hasMessageContaining("token id 102 at position 1");
            return generator;
        });
    }

    @Test
    void weightsThatAreNotNumbersAreSaidToBeUnusable() {
        try (RankGroup group = TinyRun.group(plan(1, Precision.FP32), Layout.plain())) {
            FlatViews weights = group.rank(0).compute();
            assertThat(weights.flat().type()).isEqualTo(DType.F32);
            try (Generator generator =
                    new Generator(group.settings().grid(), device, weights)) {
                generate(generator, PROMPT, 1);
                weights.chunk(1).segment().setAtIndex(ValueLayout.JAVA_FLOAT, 3, Float.NaN);
                assertThatThrownBy(() -> generate(generator, PROMPT, 1))
                        .isInstanceOfSatisfying(CastaliaException.class, e ->
                                assertThat(e.code()).isEqualTo(ErrorCode.NUMERIC_DIVERGED))
                        .hasMessageContaining("NaN");
            }
        }
    }
}
