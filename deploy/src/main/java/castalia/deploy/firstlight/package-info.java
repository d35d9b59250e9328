/** Makes the shipped text and tokenizer from their sources. */
@NullMarked
package castalia.deploy.firstlight;

import org.jspecify.annotations.NullMarked;
