/** Text from a model: one token after another. */
@NullMarked
package castalia.workers.generation;

import org.jspecify.annotations.NullMarked;
