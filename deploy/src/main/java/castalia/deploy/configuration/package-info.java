/** GPT-NeoX YAML read once into a training configuration. */
@NullMarked
package castalia.deploy.configuration;

import org.jspecify.annotations.NullMarked;
