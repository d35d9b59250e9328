/** Castalia kernels. */
@NullMarked
package castalia.kernels;

import org.jspecify.annotations.NullMarked;
