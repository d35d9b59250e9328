/** Stored models, wherever they lie, for the commands that use one. */
@NullMarked
package castalia.deploy.model;

import org.jspecify.annotations.NullMarked;
