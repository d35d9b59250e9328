/** Comparison with what another implementation computed. */
@NullMarked
package castalia.deploy.parity;

import org.jspecify.annotations.NullMarked;
