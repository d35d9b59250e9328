/** Training as the command line runs it: ranks, data, checkpoints, metrics. */
@NullMarked
package castalia.deploy.train;

import org.jspecify.annotations.NullMarked;
