/** What the learning rate and the loss scale are at a given point of a run. */
@NullMarked
package castalia.protocol.schedule;

import org.jspecify.annotations.NullMarked;
