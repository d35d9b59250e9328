/** Device, buffer and the operations every back end implements: buffers, offsets and sizes only. */
@NullMarked
package castalia.kernels;

import org.jspecify.annotations.NullMarked;
