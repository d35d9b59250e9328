/** What a layout costs before it is used: memory, traffic and time of every rank. */
@NullMarked
package castalia.protocol.planner;

import org.jspecify.annotations.NullMarked;
