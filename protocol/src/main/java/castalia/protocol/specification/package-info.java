/** The specification of a run: everything the final state is a function of. */
@NullMarked
package castalia.protocol.specification;

import org.jspecify.annotations.NullMarked;
