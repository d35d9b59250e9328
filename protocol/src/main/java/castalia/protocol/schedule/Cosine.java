package castalia.protocol.schedule;

/**
 * The cosine, rounded to nearest from a value good to about 100 bits. GPT-NeoX computes its
 * schedule with the C library's cosine, which rounds almost always to nearest; {@code StrictMath}
 * is off by one unit in the last place for three arguments of a hundred, and {@code Math} may
 * differ between machines. Of the 143,001 rates of a published schedule about 80 differ from
 * glibc's in the last bit of F64, none in F32, as which they are used.
 */
final class Cosine {

    /** Pi/2 as a sum of three doubles. */
    private static final double HALF_PI_1 = 0x1.921fb54442d18p0;
    private static final double HALF_PI_2 = 0x1.1a62633145c07p-54;
    private static final double HALF_PI_3 = -0x1.f1976b7ed8fbcp-110;

    private static final int TERMS = 15;

    private Cosine() {}

    /** The cosine of {@code x}, 0 to pi. */
    static double of(double x) {
        if (!(x >= 0) || !(x <= Math.PI)) {
            throw new IllegalArgumentException("cosine of " + x + ", outside 0 to pi");
        }
        int quarter = x < Math.PI / 4 ? 0 : x < 3 * Math.PI / 4 ? 1 : 2;
        // Both products are exact, as quarter is 0, 1 or 2; so is the difference (Sterbenz).
        DoubleDouble r = DoubleDouble.sum(x - quarter * HALF_PI_1, -(quarter * HALF_PI_2))
                .plus(DoubleDouble.sum(-(quarter * HALF_PI_3), 0));
        return switch (quarter) {
            case 0 -> series(r, DoubleDouble.ONE, 0).high();
            case 1 -> -series(r, r, 1).high();
            default -> -series(r, DoubleDouble.ONE, 0).high();
        };
    }

    /** The alternating series that begins with {@code first = r^power / power!}. */
    private static DoubleDouble series(DoubleDouble r, DoubleDouble first, int power) {
        DoubleDouble square = r.times(r);
        DoubleDouble[] terms = new DoubleDouble[TERMS];
        terms[0] = first;
        for (int i = 1; i < TERMS; i++) {
            int p = power + 2 * i;
            terms[i] = terms[i - 1].times(square).dividedBy(-(double) (p * (p - 1)));
        }
        DoubleDouble sum = terms[TERMS - 1];
        for (int i = TERMS - 2; i >= 0; i--) {
            sum = terms[i].plus(sum);
        }
        return sum;
    }

    /** The unevaluated sum {@code high + low}, where {@code high} is the sum rounded. */
    private record DoubleDouble(double high, double low) {

        static final DoubleDouble ONE = new DoubleDouble(1, 0);

        /** The exact sum of two doubles. */
        static DoubleDouble sum(double a, double b) {
            double s = a + b;
            double t = s - a;
            return new DoubleDouble(s, (a - (s - t)) + (b - t));
        }

        DoubleDouble plus(DoubleDouble other) {
            DoubleDouble s = sum(high, other.high);
            DoubleDouble t = sum(low, other.low);
            DoubleDouble u = sum(s.high, s.low + t.high);
            return sum(u.high, u.low + t.low);
        }

        DoubleDouble times(DoubleDouble other) {
            double p = high * other.high;
            double e = Math.fma(high, other.high, -p);
            return sum(p, e + (high * other.low + low * other.high));
        }

        DoubleDouble dividedBy(double divisor) {
            double q = high / divisor;
            double rest = Math.fma(-q, divisor, high) + low;
            return sum(q, rest / divisor);
        }
    }
}
