/** Who may talk to this process's actors: only processes of the same run, over TLS. */
@NullMarked
package castalia.actors.tls;

import org.jspecify.annotations.NullMarked;
