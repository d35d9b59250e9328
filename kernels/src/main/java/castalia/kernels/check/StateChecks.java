package castalia.kernels.check;

import castalia.kernels.Buffer;

/** Refuses chunks of state that do not fit. */
final class StateChecks {

    private static final int POSITION_UNIT = 16;

    private StateChecks() {}

    static void state(
            String name, Buffer weight, Buffer first, Buffer second, long position, long count) {
        Check.count(name, count);
        if (position < 0 || position % POSITION_UNIT != 0) {
            throw new IllegalArgumentException(
                    name + ": position " + position + " is no multiple of 16 from 0");
        }
        Check.f32(name, "weight", weight, count);
        Check.f32(name, "first", first, count);
        Check.f32(name, "second", second, count);
    }

    /** Of an update: buffers of one size for each chunk, compute weights of one type. */
    static void updates(Buffer[] weight, Buffer[] first, Buffer[] second, Buffer[] compute,
            Buffer[] gradient, int scalars, long[] position, int digests) {
        String name = "adamW";
        Check.as(name, "scalars", scalars, weight.length);
        Check.as(name, "position", position.length, weight.length);
        Check.as(name, "digest", digests, weight.length);
        alike("first", first, weight);
        alike("second", second, weight);
        alike("compute", compute, weight);
        alike("gradient", gradient, weight);
        for (int i = 0; i < weight.length; i++) {
            long count = weight[i].elements();
            state(name, weight[i], first[i], second[i], position[i], count);
            Check.numbers(name, "compute", compute[i], count);
            Check.sameType(name, "compute", compute[0], "compute", compute[i]);
            Check.f32(name, "gradient", gradient[i], count);
        }
    }

    private static void alike(String what, Buffer[] of, Buffer[] weight) {
        Check.as("adamW", what, of.length, weight.length);
        for (int i = 0; i < weight.length; i++) {
            Check.as("adamW", what, of[i].elements(), weight[i].elements());
        }
    }
}
