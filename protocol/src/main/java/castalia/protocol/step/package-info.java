/** One training step as values: virtual ranks, trees, votes, verdicts. */
@NullMarked
package castalia.protocol.step;

import org.jspecify.annotations.NullMarked;
