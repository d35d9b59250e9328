/** Removal of documents that occur more than once, exactly or nearly, beyond what fits in memory. */
@NullMarked
package castalia.workers.data.dedup;

import org.jspecify.annotations.NullMarked;
