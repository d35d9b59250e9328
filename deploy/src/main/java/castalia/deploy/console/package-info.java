/** The run as people see it: one live page, and lines on a terminal. */
@NullMarked
package castalia.deploy.console;

import org.jspecify.annotations.NullMarked;
