/** Castalia deploy. */
@NullMarked
package castalia.deploy;

import org.jspecify.annotations.NullMarked;
