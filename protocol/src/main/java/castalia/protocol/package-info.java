/** Castalia protocol. */
@NullMarked
package castalia.protocol;

import org.jspecify.annotations.NullMarked;
