package castalia.deploy.configuration;

import java.util.OptionalInt;

/**
 * Wishes about where a run is computed. They are no part of the specification.
 *
 * @param ranks ranks in this process
 * @param threads threads of a rank
 * @param zeroStage ZeRO stage of the configuration, 0 to 3
 */
public record PlacementHints(OptionalInt ranks, OptionalInt threads, int zeroStage) {}
