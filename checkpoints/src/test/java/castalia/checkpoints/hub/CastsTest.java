package castalia.checkpoints.hub;

import static org.assertj.core.api.Assertions.assertThat;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.math.BigDecimal;
import java.util.Random;
import org.junit.jupiter.api.Test;

class CastsTest {

    private static final ValueLayout.OfFloat F = ValueLayout.JAVA_FLOAT;

    @Test
    void everySixteenBitPatternSurvivesTheWayThroughFp32() {
        for (TensorType type : new TensorType[] {TensorType.BF16, TensorType.F16}) {
            try (Arena arena = Arena.ofConfined()) {
                MemorySegment stored = arena.allocate(2 * 65536, 64);
                for (int i = 0; i < 65536; i++) {
                    stored.setAtIndex(ValueLayout.JAVA_SHORT, i, (short) i);
                }
                MemorySegment floats = arena.allocate(4 * 65536, 64);
                MemorySegment back = arena.allocate(2 * 65536, 64);
                Casts.toFloats(type, stored, 1, floats);
                Casts casts = new Casts();
                casts.fromFloats(floats, 1, type, back);
                assertThat(back.mismatch(stored)).isEqualTo(-1);
                assertThat(casts.report(type)).isEqualTo(new CastReport(type, 65536, 0, 0, 0));
            }
        }
    }

    @Test
    void roundingIsToNearestTiesToEven() {
        Random random = new Random(1);
        for (int i = 0; i < 200_000; i++) {
            float value = Float.intBitsToFloat(random.nextInt());
            if (!Float.isFinite(value)) {
                continue;
            }
            short bits = Casts.floatToBrainBits(Float.floatToRawIntBits(value));
            float rounded = Float.intBitsToFloat(bits << 16);
            if (Float.isFinite(rounded)) {
                float other = Float.intBitsToFloat(
                        (Math.abs(rounded) > Math.abs(value) ? bits - 1 : bits + 1) << 16);
                int order = distance(rounded, value).compareTo(distance(other, value));
                assertThat(order).isLessThanOrEqualTo(0);
                assertThat(order == 0 && (bits & 1) == 1).isFalse();
            }
        }
    }

    private static BigDecimal distance(float a, float b) {
        return Float.isFinite(a)
                ? new BigDecimal(a).subtract(new BigDecimal(b)).abs()
                : new BigDecimal(Double.MAX_VALUE);
    }

    @Test
    void whatANarrowTypeCannotHoldIsCounted() {
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment floats = arena.allocateFrom(
                    F, 1f, 1.0001f, 1e6f, 1e-9f, 0f, -0f, Float.NaN, Float.POSITIVE_INFINITY);
            MemorySegment stored = arena.allocate(16, 8);
            Casts casts = new Casts();
            casts.fromFloats(floats, 1, TensorType.F16, stored);
            CastReport report = casts.report(TensorType.F16);
            assertThat(report).isEqualTo(new CastReport(TensorType.F16, 8, 3, 1, 1));
            assertThat(report.exact()).isFalse();
        }
    }

    @Test
    void aPowerOfTwoFactorIsExactBothWays() {
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment floats = arena.allocateFrom(F, 0.1f, -3.3f, 1e-30f, 0f);
            MemorySegment stored = arena.allocate(16, 8);
            MemorySegment back = arena.allocate(16, 8);
            Casts casts = new Casts();
            casts.fromFloats(floats, 4, TensorType.F32, stored);
            assertThat(stored.getAtIndex(F, 0)).isEqualTo(0.4f);
            Casts.toFloats(TensorType.F32, stored, 4, back);
            assertThat(back.mismatch(floats)).isEqualTo(-1);
            assertThat(casts.report(TensorType.F32).exact()).isTrue();
        }
    }
}
