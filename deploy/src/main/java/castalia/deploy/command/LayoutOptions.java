package castalia.deploy.command;

import castalia.protocol.layout.LayoutRequest;
import java.util.OptionalInt;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Option;

/** How a run's ranks divide work and state: a mixin. */
final class LayoutOptions {

    @Option(names = "--dp", paramLabel = "D",
            description = "Data parallel degree: replicas of the model; 0 for as many as there are"
                    + " workers for.")
    private @Nullable Integer dataParallel;

    @Option(names = "--tp", paramLabel = "T",
            description = "Tensor parallel degree: ranks that share a replica; divides the run's tensor"
                    + " slices.")
    private @Nullable Integer tensorParallel;

    @Option(names = "--zero", paramLabel = "STAGE",
            description = "ZeRO stage, 0 to 3: what of the state ranks divide among them.")
    private @Nullable Integer zero;

    @Option(names = "--buddies", paramLabel = "N",
            description = "Further holders of each part of the optimizer state, 0 to 2.")
    private @Nullable Integer buddies;

    LayoutRequest request() {
        return new LayoutRequest(
                some(dataParallel), some(tensorParallel), some(zero), some(buddies));
    }

    private static OptionalInt some(@Nullable Integer value) {
        return value == null ? OptionalInt.empty() : OptionalInt.of(value);
    }
}
