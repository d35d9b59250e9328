/** Castalia actors. */
@NullMarked
package castalia.actors;

import org.jspecify.annotations.NullMarked;
