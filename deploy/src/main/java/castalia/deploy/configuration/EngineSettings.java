package castalia.deploy.configuration;

/**
 * How a machine computes.
 *
 * @param portable whether matrix products are computed in Java, with bits that any machine gives; part
 *     of the numeric version
 * @param fits whether the backward pass computes again as much as makes the run fit its memory
 * @param memoryBytes most memory of all ranks of this machine together; {@link Long#MAX_VALUE} for what
 *     there is
 */
public record EngineSettings(boolean portable, boolean fits, long memoryBytes) {}
