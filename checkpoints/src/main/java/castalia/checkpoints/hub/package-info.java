/** Models in Hugging Face layout: safetensors files, config.json, whole folders in and out. */
@NullMarked
package castalia.checkpoints.hub;

import org.jspecify.annotations.NullMarked;
