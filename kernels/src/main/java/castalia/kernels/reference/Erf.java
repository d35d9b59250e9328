package castalia.kernels.reference;

/** The complementary error function in F64, to about 1e-15 relative. */
final class Erf {

    private static final double ROOT_PI = Math.sqrt(Math.PI);

    private Erf() {}

    /**
     * {@code 1 - erf(x)} for x of at least 0 (or NaN): below 1 from the series of erf whose terms
     * are all positive, above from the continued fraction of erfc (Abramowitz and Stegun 7.1.6 and
     * 7.1.14).
     */
    static double erfc(double x) {
        if (x < 1) {
            double term = x;
            double sum = x;
            for (int n = 1; term > sum * 1e-18; n++) {
                term *= 2 * x * x / (2 * n + 1);
                sum += term;
            }
            return 1 - 2 / ROOT_PI * StrictMath.exp(-x * x) * sum;
        }
        double fraction = x;
        for (int n = 200; n >= 1; n--) {
            fraction = x + n / 2.0 / fraction;
        }
        return StrictMath.exp(-x * x) / ROOT_PI / fraction;
    }
}
