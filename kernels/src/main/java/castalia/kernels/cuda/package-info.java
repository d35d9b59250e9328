/**
 * The CUDA back end: JCuda's driver API, own kernels, cublasLt through the foreign function
 * interface. No class of JCuda is touched before the driver was found and has every function that
 * is used.
 */
@NullMarked
package castalia.kernels.cuda;

import org.jspecify.annotations.NullMarked;
