// Rotary positions.
#include "common.cuh"

// castalia_rotary_T(T* qkv, const float* table, int inverse, int batch, int sequence, int heads,
// int dimension, int rotary): rotates the pairs (i, i + rotary / 2) of Q and K in place; each
// product is rounded, then the sum, then the element. Grid min(ceil(pairs / 256), 65535) with
// pairs = batch * sequence * heads * rotary (two vectors of rotary / 2 pairs a head), block 256; no
// launch where rotary is 0.
template <typename T, typename Index>
__device__ __forceinline__ void rotate(T* qkv, const float* table, bool inverse, Index pairs,
                                       int sequence, int heads, int dimension, int rotary) {
  unsigned half = rotary / 2;
  for (Index at = (Index)blockIdx.x * blockDim.x + threadIdx.x; at < pairs;
      at += (Index)gridDim.x * blockDim.x) {
    Index vector = at / half;  // ((token, head), Q or K)
    unsigned i = (unsigned)(at - vector * half);
    Index head = vector / 2;
    unsigned position = (unsigned)(head / (unsigned)heads % (unsigned)sequence);
    T* x = qkv + ((u64)head * 3 + (vector & 1)) * dimension + i;
    float cosine = table[(u64)position * rotary + i];
    float sine = table[(u64)position * rotary + half + i];
    sine = inverse ? -sine : sine;
    float x1 = widen(x[0]), x2 = widen(x[half]);
    x[0] = narrow<T>(x1 * cosine - x2 * sine);
    x[half] = narrow<T>(x2 * cosine + x1 * sine);
  }
}

// Division of 64-bit numbers would take longer than the memory does.
template <typename T>
__device__ __forceinline__ void rotateAll(T* qkv, const float* table, bool inverse, int batch,
                                          int sequence, int heads, int dimension, int rotary) {
  u64 pairs = (u64)batch * sequence * heads * rotary;
  if (pairs < 0x80000000ull) {
    rotate<T, unsigned>(qkv, table, inverse, (unsigned)pairs, sequence, heads, dimension, rotary);
  } else {
    rotate<T, u64>(qkv, table, inverse, pairs, sequence, heads, dimension, rotary);
  }
}

#define ROTARY(name, T)                                                                           \
  KERNEL(castalia_rotary_##name, (T* qkv, const float* table, int inverse, int batch,             \
      int sequence, int heads, int dimension, int rotary)) {                                      \
    rotateAll(qkv, table, inverse != 0, batch, sequence, heads, dimension, rotary);               \
  }
FOR_EACH_TYPE(ROTARY)
