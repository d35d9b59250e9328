/**
 * Bytes at rest: chunk files named by their content, manifests published last, the catalogue of a
 * run folder, its verification and its sweeping. A checkpoint exists if and only if its manifest is
 * in the catalogue.
 */
@NullMarked
package castalia.checkpoints;

import org.jspecify.annotations.NullMarked;
