/** What a fixed order of sums costs. Nothing here can be reached by training. */
@NullMarked
package castalia.deploy.bench.determinism;

import org.jspecify.annotations.NullMarked;
