/** The GPT-NeoX model: hand-written forward and backward over tensor slices. */
@NullMarked
package castalia.workers.model;

import org.jspecify.annotations.NullMarked;
