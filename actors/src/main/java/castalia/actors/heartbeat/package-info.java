/** Whether the coordinator's process lives, asked on connections of our own. */
@NullMarked
package castalia.actors.heartbeat;

import org.jspecify.annotations.NullMarked;
