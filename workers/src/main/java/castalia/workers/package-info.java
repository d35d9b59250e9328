/** Real work: model, data, exchange, and the rank that executes one step after another. */
@NullMarked
package castalia.workers;

import org.jspecify.annotations.NullMarked;
