/** Castalia workers. */
@NullMarked
package castalia.workers;

import org.jspecify.annotations.NullMarked;
