/** Actor messages to bytes and back, bounded and counted. */
@NullMarked
package castalia.actors.wire;

import org.jspecify.annotations.NullMarked;
