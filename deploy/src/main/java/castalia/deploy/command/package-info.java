/** The commands of the command line, one class each. */
@NullMarked
package castalia.deploy.command;

import org.jspecify.annotations.NullMarked;
