/** The life of a run as a state machine, and what its members say to each other about it. */
@NullMarked
package castalia.protocol.run;

import org.jspecify.annotations.NullMarked;
