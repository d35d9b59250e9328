/** Castalia checkpoints. */
@NullMarked
package castalia.checkpoints;

import org.jspecify.annotations.NullMarked;
