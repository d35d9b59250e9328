/** Documents of text files: where they come from, in a fixed order, read as a stream. */
@NullMarked
package castalia.workers.data.text;

import org.jspecify.annotations.NullMarked;
