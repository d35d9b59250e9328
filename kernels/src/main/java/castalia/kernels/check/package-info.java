/** Arguments of operations, checked alike for every back end. */
@NullMarked
package castalia.kernels.check;

import org.jspecify.annotations.NullMarked;
