/** What a run in a folder does now, as whoever trains it says in a file there. */
@NullMarked
package castalia.deploy.status;

import org.jspecify.annotations.NullMarked;
