package castalia.deploy.command;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.within;

import castalia.deploy.Cli;
import castalia.protocol.ErrorCode;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.util.List;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

/** Fresh processes take what the formula says. */
@Tag("default")
@Timeout(value = 5, unit = TimeUnit.MINUTES)
class BenchMemoryCommandTest {

    @Test
    void peakResidentMemoryIsTheFormulasWithinFivePercent() throws Exception {
        Cli.Result result = Cli.run(
                "bench", "memory", "--model", "pythia-14m", "--stages", "0,1,2,3", "--json");
        assertThat(result.code()).as(result.err()).isZero();
        List<String> lines = result.out().lines().toList();
        JsonNode stages = new ObjectMapper().readTree(lines.getLast()).get("stages");
        assertThat(stages).hasSize(4).allSatisfy(stage -> {
            assertThat(stage.get("planned_bytes").asLong()).isGreaterThan(500L << 20);
            assertThat(stage.get("arena_bytes").asLong())
                    .isEqualTo(stage.get("planned_bytes").asLong());
            assertThat(stage.get("resident_ratio").asDouble()).as("%s", stage)
                    .isCloseTo(1, within(0.05));
        });
    }

    @Test
    void whatCannotBeMeasuredIsRefused() {
        assertThat(Cli.run("bench", "memory", "--stages", "4"))
                .satisfies(r -> assertThat(r.code()).isEqualTo(ErrorCode.CONFIG_INVALID.exitCode()))
                .satisfies(r -> assertThat(r.err()).contains("ZeRO stage 4 is none of 0, 1, 2, 3"));
        assertThat(Cli.run("bench", "memory", "--model", "pythia-3m").err())
                .contains("no model is called pythia-3m");
    }
}
