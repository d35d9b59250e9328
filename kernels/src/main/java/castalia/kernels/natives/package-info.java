/** Native libraries out of jars. */
@NullMarked
package castalia.kernels.natives;

import org.jspecify.annotations.NullMarked;
