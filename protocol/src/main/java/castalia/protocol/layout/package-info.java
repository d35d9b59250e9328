/** The flat parameter space, its chunks, and where ranks hold them. */
@NullMarked
package castalia.protocol.layout;

import org.jspecify.annotations.NullMarked;
