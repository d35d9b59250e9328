/** What a GPU is checked for and how fast it is. */
@NullMarked
package castalia.deploy.gpu;

import org.jspecify.annotations.NullMarked;
