/** Texts to token files. */
@NullMarked
package castalia.workers.data.prepare;

import org.jspecify.annotations.NullMarked;
