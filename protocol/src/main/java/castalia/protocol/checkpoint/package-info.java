/** What a checkpoint is, and when one is due. */
@NullMarked
package castalia.protocol.checkpoint;

import org.jspecify.annotations.NullMarked;
