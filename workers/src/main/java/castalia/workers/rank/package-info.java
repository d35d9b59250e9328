/** The rank: one step plan from start to end. */
@NullMarked
package castalia.workers.rank;

import org.jspecify.annotations.NullMarked;
