/** The actors of a run: worker, coordinator and its candidates. */
@NullMarked
package castalia.actors.run;

import org.jspecify.annotations.NullMarked;
