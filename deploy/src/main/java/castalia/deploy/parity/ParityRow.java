package castalia.deploy.parity;

/**
 * How far one quantity is from the reference.
 *
 * @param name what is compared
 * @param absolute largest absolute difference
 * @param relative that difference, divided by the reference's largest magnitude
 * @param bound what is allowed
 * @param boundIsAbsolute whether the bound is on {@code absolute} or on {@code relative}
 */
public record ParityRow(
        String name, double absolute, double relative, double bound, boolean boundIsAbsolute) {

    /** Whether the difference is within the bound; never for a NaN. */
    public boolean holds() {
        return (boundIsAbsolute ? absolute : relative) <= bound;
    }

    /** Compares tensors of the same length; a relative bound. */
    static ParityRow of(String name, float[] ours, float[] reference, double bound) {
        return of(name, ours, reference, bound, 0, ours.length, 1, false);
    }

    /** Compares the elements from {@code first} in groups: {@code width} of every {@code stride}. */
    static ParityRow of(
            String name,
            float[] ours,
            float[] reference,
            double bound,
            int first,
            int width,
            int stride,
            boolean absolute) {
        if (ours.length != reference.length) {
            throw new IllegalArgumentException(name + " has " + ours.length
                    + " elements, the reference " + reference.length);
        }
        double worst = 0;
        double largest = 0;
        int period = stride == 1 ? ours.length : stride;
        for (int group = 0; group < ours.length; group += period) {
            for (int i = group + first; i < group + first + width; i++) {
                double difference = Math.abs((double) ours[i] - reference[i]);
                worst = Double.isNaN(difference) ? Double.NaN : Math.max(worst, difference);
                largest = Math.max(largest, Math.abs(reference[i]));
            }
        }
        return new ParityRow(name, worst, worst / largest, bound, absolute);
    }

    /** Compares two numbers; an absolute bound. */
    static ParityRow of(String name, double ours, double reference, double bound) {
        double difference = Math.abs(ours - reference);
        return new ParityRow(name, difference, difference / Math.abs(reference), bound, true);
    }
}
