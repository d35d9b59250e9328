/**
 * The embedded CPU back end: oneDNN's products through the foreign function interface, everything
 * else with the Vector API over native memory. Results are a function of shapes and inputs alone,
 * never of the number of threads.
 */
@NullMarked
package castalia.kernels.cpu;

import org.jspecify.annotations.NullMarked;
