package castalia.deploy.shell;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import castalia.protocol.CastaliaException;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

class QuantityTest {

    @ParameterizedTest
    @CsvSource({
        "80GiB, 85899345920", "80GB, 80000000000", "80 Gi, 85899345920", "1.5k, 1500",
        "12, 12", "0.5KiB, 512", "64MB, 64000000"
    })
    void bytesHavePrefixesOfTwoKinds(String text, long expected) {
        assertThat(Quantity.bytes("--memory", text)).isEqualTo(expected);
    }

    @ParameterizedTest
    @ValueSource(strings = {
        "", "GiB", "-1G", "0", "1e9", "80GB/s", "80GX", "80iB", "99999999P", "1..5G", "80 G B"
    })
    void anythingElseIsRefusedByName(String text) {
        assertThatThrownBy(() -> Quantity.bytes("--memory", text))
                .isInstanceOf(CastaliaException.class).hasMessageContaining("--memory '" + text);
    }

    @ParameterizedTest
    @CsvSource({"50GB/s, 50000000000", "25G, 25000000000"})
    void ratesMaySayBySecond(String text, long expected) {
        assertThat(Quantity.bytesPerSecond("--link", text)).isEqualTo(expected);
    }

    @ParameterizedTest
    @CsvSource({"100T, 100000000000000", "312TFLOP/s, 312000000000000"})
    void soDoOperations(String text, long expected) {
        assertThat(Quantity.flops("--flops", text)).isEqualTo(expected);
    }
}
