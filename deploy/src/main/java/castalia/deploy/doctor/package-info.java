/** What the command doctor looks at. */
@NullMarked
package castalia.deploy.doctor;

import org.jspecify.annotations.NullMarked;
