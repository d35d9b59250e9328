/** What actors did: counts and failures, per process and for the whole cluster. */
@NullMarked
package castalia.actors.watch;

import org.jspecify.annotations.NullMarked;
