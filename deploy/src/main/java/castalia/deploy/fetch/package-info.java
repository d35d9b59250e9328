/** Brings files of a hub repository onto this machine. */
@NullMarked
package castalia.deploy.fetch;

import org.jspecify.annotations.NullMarked;
