package castalia.protocol.model;

import java.util.List;
import java.util.Locale;
import java.util.Optional;

/**
 * The ten published sizes, as their configurations give them; the vocabulary is the published one,
 * padded to a multiple of 128 times the published model-parallel degree. GELU is the tanh form, as
 * in training.
 */
public final class PythiaModels {

    private static final double ROTARY_BASE = 10_000;
    private static final double LAYER_NORM_EPSILON = 1e-5;
    private static final int POSITIONS = 2048;

    /** Sequences of a step of every published run. */
    public static final int GLOBAL_BATCH = 1024;

    private static final String PREFIX = "pythia-";

    private static final List<Preset> ALL = List.of(
            preset("14m", 6, 128, 4, 50_304, 1, 32, 1.0e-3, 1.0e-4),
            preset("31m", 6, 256, 8, 50_304, 1, 32, 1.0e-3, 1.0e-4),
            preset("70m", 6, 512, 8, 50_304, 1, 32, 1.0e-3, 1.0e-4),
            preset("160m", 12, 768, 12, 50_304, 1, 32, 6.0e-4, 6.0e-5),
            preset("410m", 24, 1024, 16, 50_304, 1, 32, 3.0e-4, 3.0e-5),
            preset("1b", 16, 2048, 8, 50_304, 1, 16, 2.5e-4, 2.5e-5),
            preset("1.4b", 24, 2048, 16, 50_304, 1, 16, 2.0e-4, 2.0e-5),
            preset("2.8b", 32, 2560, 32, 50_304, 1, 16, 1.6e-4, 1.6e-5),
            preset("6.9b", 32, 4096, 32, 50_432, 2, 8, 1.2e-4, 1.2e-5),
            preset("12b", 36, 5120, 40, 50_688, 4, 8, 1.2e-4, 1.2e-5));

    private PythiaModels() {}

    /**
     * One size.
     *
     * @param name for example {@code 70m}
     * @param shape its shape
     * @param microBatch sequences of a published micro-batch
     * @param peakRate peak learning rate of the published configuration
     * @param lowestRate its min_lr
     */
    public record Preset(
            String name, ModelShape shape, int microBatch, double peakRate, double lowestRate) {

        /** The published name, for example {@code pythia-70m}. */
        public String fullName() {
            return PREFIX + name;
        }
    }

    /** All sizes, smallest first. */
    public static List<Preset> all() {
        return ALL;
    }

    /** The size called {@code name}, with or without {@code pythia-}, in any case. */
    public static Optional<Preset> named(String name) {
        String lower = name.toLowerCase(Locale.ROOT);
        String bare = lower.startsWith(PREFIX) ? lower.substring(PREFIX.length()) : lower;
        return ALL.stream().filter(p -> p.name().equals(bare)).findFirst();
    }

    private static Preset preset(
            String name,
            int layers,
            int hidden,
            int heads,
            int vocabulary,
            int modelParallel,
            int microBatch,
            double peakRate,
            double lowestRate) {
        int rotaryDimensions = hidden / heads / 4;
        ModelShape shape = new ModelShape(
                layers, hidden, heads, 4 * hidden, vocabulary, POSITIONS, rotaryDimensions,
                ROTARY_BASE, LAYER_NORM_EPSILON, true, Gelu.TANH, modelParallel);
        return new Preset(name, shape, microBatch, peakRate, lowestRate);
    }
}
