/** What a run's coordinator and its workers say to each other. */
@NullMarked
package castalia.protocol.control;

import org.jspecify.annotations.NullMarked;
