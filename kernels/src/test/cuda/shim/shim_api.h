// What the stand-in driver needs of the shim: kernels by name, and launches.
#ifndef CASTALIA_SHIM_API_H
#define CASTALIA_SHIM_API_H

#ifdef __cplusplus
extern "C" {
#endif

// The number of a kernel, or -1 if none has this name.
int shim_find(const char* name);

// Kernels are numbered from 0; the name of one, or null behind the last.
const char* shim_name(int kernel);

// Arguments of a kernel, and the bytes of each.
int shim_arguments(int kernel);
int shim_argument_bytes(int kernel, int argument);

// Runs a grid to its end, block after block. params[i] points to argument i. Returns 0; 1 if the
// extents are not a device's; 719 if a block cannot move on (divergent barrier) or wrote beyond its
// shared memory, with a line on the error stream. Safe to call from several threads at once.
int shim_launch(int kernel, unsigned gx, unsigned gy, unsigned gz, unsigned bx, unsigned by,
                unsigned bz, unsigned sharedBytes, void** params);

// The order in which threads of a block run: 0 ascending, 1 descending. Set at first use from the
// environment's SHIM_REVERSE.
void shim_reverse(int reverse);

#ifdef __cplusplus
}
#endif
#endif
