/** What every command shares: errors, JSON, the folder of the program, the build's name. */
@NullMarked
package castalia.deploy.shell;

import org.jspecify.annotations.NullMarked;
