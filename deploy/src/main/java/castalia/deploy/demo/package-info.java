/** The demonstration behind {@code ./castalia demo}. */
@NullMarked
package castalia.deploy.demo;

import org.jspecify.annotations.NullMarked;
