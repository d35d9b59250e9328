/** The data plane's collectives beside plain loops over the same kind of socket. */
@NullMarked
package castalia.deploy.bench.collective;

import org.jspecify.annotations.NullMarked;
