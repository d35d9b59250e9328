package castalia.protocol;

import static org.assertj.core.api.Assertions.assertThat;

import java.util.Arrays;
import org.junit.jupiter.api.Test;

class ErrorCodeTest {
    @Test
    void everyCodeHasItsOwnExitCodeAboveTheLaunchers() {
        assertThat(ErrorCode.values())
                .extracting(ErrorCode::exitCode)
                .doesNotHaveDuplicates()
                .allMatch(code -> code >= 10 && code < 64);
    }

    @Test
    void publishedExitCodesStayAsTheyAre() {
        int[] codes = Arrays.stream(ErrorCode.values()).mapToInt(ErrorCode::exitCode).toArray();
        assertThat(codes).containsExactly(10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20);
    }
}
