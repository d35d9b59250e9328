package castalia.protocol.schedule;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.math.BigDecimal;
import java.math.MathContext;
import java.math.RoundingMode;
import java.util.Random;
import org.junit.jupiter.api.Test;

class CosineTest {

    private static final MathContext DIGITS = new MathContext(50, RoundingMode.HALF_EVEN);

    @Test
    void theCosineIsRoundedToNearest() {
        Random random = new Random(1);
        for (int i = 0; i < 2000; i++) {
            double x = random.nextDouble() * Math.PI;
            assertThat(Cosine.of(x)).as("cosine of %s", x).isEqualTo(exact(x));
        }
        for (double x : new double[] {
            0, Double.MIN_VALUE, 1e-8, Math.PI / 4, Math.nextDown(Math.PI / 4), Math.PI / 2,
            Math.nextUp(Math.PI / 2), 3 * Math.PI / 4, Math.nextDown(Math.PI), Math.PI
        }) {
            assertThat(Cosine.of(x)).as("cosine of %s", x).isEqualTo(exact(x));
        }
    }

    /** The Taylor series in 50 decimal digits. */
    private static double exact(double x) {
        BigDecimal square = new BigDecimal(x).pow(2, DIGITS);
        BigDecimal term = BigDecimal.ONE;
        BigDecimal sum = BigDecimal.ONE;
        for (int k = 2; k < 80; k += 2) {
            term = term.multiply(square, DIGITS)
                    .divide(BigDecimal.valueOf((long) k * (k - 1)), DIGITS)
                    .negate();
            sum = sum.add(term, DIGITS);
        }
        return sum.doubleValue();
    }

    @Test
    void otherArgumentsAreRefused() {
        for (double x : new double[] {-1e-9, 3.2, Double.NaN}) {
            assertThatThrownBy(() -> Cosine.of(x)).hasMessageContaining("cosine of " + x);
        }
    }
}
