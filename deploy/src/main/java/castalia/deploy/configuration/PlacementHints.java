package castalia.deploy.configuration;

import castalia.protocol.layout.LayoutRequest;
import java.util.OptionalInt;

/**
 * Wishes about where a run is computed. They are no part of the specification.
 *
 * @param ranks ranks in this process
 * @param threads threads of a rank
 * @param layout what the {@code castalia:} block names of the layout
 * @param hints what GPT-NeoX's own keys would have, where it fits
 */
public record PlacementHints(
        OptionalInt ranks, OptionalInt threads, LayoutRequest layout, LayoutRequest hints) {}
