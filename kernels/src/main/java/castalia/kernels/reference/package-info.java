/** The plain reference: loops with shapes in words, the answer every back end is held to. */
@NullMarked
package castalia.kernels.reference;

import org.jspecify.annotations.NullMarked;
