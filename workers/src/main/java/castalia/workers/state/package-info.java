/** Weights and moments of the chunks a rank holds. */
@NullMarked
package castalia.workers.state;

import org.jspecify.annotations.NullMarked;
