/** Measurements, each with the command that makes its figure. */
@NullMarked
package castalia.deploy.bench;

import org.jspecify.annotations.NullMarked;
