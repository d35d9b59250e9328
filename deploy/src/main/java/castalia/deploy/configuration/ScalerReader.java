package castalia.deploy.configuration;

import castalia.protocol.schedule.LossScaler;
import castalia.protocol.specification.Precision;
import java.util.List;
import java.util.Optional;
import java.util.function.Supplier;

/** Reads the loss scaling of the block {@code fp16}; defaults are DeepSpeed's. */
final class ScalerReader {

    private static final int LARGEST_POWER = 127;
    private static final int DEFAULT_POWER = 32;
    private static final List<String> KEYS = List.of("fp16", "enabled", "type", "auto-cast",
            "loss-scale", "loss-scale-window", "initial-scale-power", "hysteresis",
            "min-loss-scale", "consecutive-hysteresis");

    private final Settings top;
    private final Optional<Settings> block;

    /**
     * @param block the block {@code fp16}
     */
    ScalerReader(Settings top, Optional<Settings> block) {
        this.top = top;
        this.block = block;
    }

    /** The loss scaler of a precision; empty, with errors recorded, if there is none. */
    Optional<LossScaler> scaler(Precision precision) {
        block.ifPresent(section -> {
            KEYS.forEach(section::has);
            Leftovers.refuse(section);
        });
        if (precision != Precision.FP16) {
            return Optional.of(new LossScaler.None());
        }
        if (block.isEmpty()) {
            top.warning("fp16", "is not given; a loss scale from 2^" + DEFAULT_POWER
                    + " is used, as DeepSpeed does. The published Pythia runs began at 2^12");
            return Optional.of(
                    new LossScaler.Dynamic(Math.scalb(1.0, DEFAULT_POWER), 1000, 1, 2));
        }
        return read(block.get());
    }

    private static Optional<LossScaler> read(Settings section) {
        if (section.flag("consecutive-hysteresis", false)) {
            section.error("consecutive-hysteresis", "is not supported: an overflow uses up"
                    + " hysteresis until the scale grows, as in the published runs; set it to"
                    + " false");
        }
        double scale = section.number("loss-scale", 0);
        int power = section.integer("initial-scale-power", DEFAULT_POWER);
        long window = section.longInteger("loss-scale-window", 1000);
        int hysteresis = section.integer("hysteresis", 2);
        double minimum = section.number("min-loss-scale", 1);
        if (scale != 0) {
            return checked(section, "loss-scale", () -> new LossScaler.Fixed(scale));
        }
        if (!section.has("initial-scale-power")) {
            section.warning("initial-scale-power", "is not given; " + DEFAULT_POWER
                    + " is used, as DeepSpeed does. The published Pythia runs used 12");
        }
        if (power < 0 || power > LARGEST_POWER) {
            section.error("initial-scale-power",
                    power + " must lie between 0 and " + LARGEST_POWER);
            return Optional.empty();
        }
        String culprit = window < 1
                ? "loss-scale-window"
                : hysteresis < 1 ? "hysteresis" : "min-loss-scale";
        return checked(section, culprit, () -> new LossScaler.Dynamic(
                Math.scalb(1.0, power), window, minimum, hysteresis));
    }

    private static Optional<LossScaler> checked(
            Settings section, String key, Supplier<LossScaler> made) {
        try {
            return Optional.of(made.get());
        } catch (IllegalArgumentException e) {
            section.error(key, String.valueOf(e.getMessage()));
            return Optional.empty();
        }
    }
}
