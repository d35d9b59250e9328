/** What nodes agree on, as values and pure functions: no files, no clock, no threads. */
@NullMarked
package castalia.protocol;

import org.jspecify.annotations.NullMarked;
