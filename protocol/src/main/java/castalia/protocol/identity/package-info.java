/** Who is who, and which of two claims is newer. */
@NullMarked
package castalia.protocol.identity;

import org.jspecify.annotations.NullMarked;
