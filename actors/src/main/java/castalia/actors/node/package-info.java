/** The actor of a machine: it starts and restarts worker processes. */
@NullMarked
package castalia.actors.node;

import org.jspecify.annotations.NullMarked;
