/** What actors tell each other; all of it that crosses the network is Traffic. */
@NullMarked
package castalia.actors.message;

import org.jspecify.annotations.NullMarked;
