/** What ranks send each other: gradients, votes, weights. */
@NullMarked
package castalia.workers.exchange;

import org.jspecify.annotations.NullMarked;
