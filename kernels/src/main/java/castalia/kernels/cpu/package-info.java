/**
 * The embedded CPU back end: oneDNN's products through the foreign function interface, everything
 * else with the Vector API over native memory. Results are a function of shapes and inputs alone,
 * never of the number of threads.
 *
 * <p>Run the virtual machine with {@code -XX:PerMethodRecompilationCutoff=100000}. Compilations of
 * vector code add up the recompilations of every method they inline, and past the default of 400
 * HotSpot no longer recompiles a branch it once took for dead: kernels then fall back to the
 * interpreter for good, with every vector an object on the heap.
 */
@NullMarked
package castalia.kernels.cpu;

import org.jspecify.annotations.NullMarked;
