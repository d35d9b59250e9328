/** One worker between its coordinator and its rank: messages in, messages out, one thread. */
@NullMarked
package castalia.workers.runtime;

import org.jspecify.annotations.NullMarked;
