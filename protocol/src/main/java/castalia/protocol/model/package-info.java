/** Model shapes and the single list of tensor names. */
@NullMarked
package castalia.protocol.model;

import org.jspecify.annotations.NullMarked;
