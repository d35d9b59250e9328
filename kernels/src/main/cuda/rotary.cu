// Rotary positions.
#include "common.cuh"

// castalia_rotary_T(T* qkv, const float* table, int inverse, int batch, int sequence, int heads,
// int dimension, int rotary): rotates the pairs (i, i + rotary / 2) of Q and K in place; each
// product is rounded, then the sum, then the element. Grid min(ceil(pairs / 256), 65535) with
// pairs = batch * sequence * heads * rotary (two vectors of rotary / 2 pairs a head), block 256; no
// launch where rotary is 0.
template <typename T>
__device__ __forceinline__ void rotate(T* qkv, const float* table, bool inverse, int batch,
                                       int sequence, int heads, int dimension, int rotary) {
  int half = rotary / 2;
  i64 pairs = (i64)batch * sequence * heads * rotary;
  for (i64 at = (i64)blockIdx.x * blockDim.x + threadIdx.x; at < pairs;
      at += (i64)gridDim.x * blockDim.x) {
    i64 vector = at / half;  // ((token, head), Q or K)
    int i = (int)(at - vector * half);
    i64 head = vector / 2;
    int position = (int)(head / heads % sequence);
    T* x = qkv + (head * 3 + (vector & 1)) * dimension + i;
    float cosine = table[(i64)position * rotary + i];
    float sine = table[(i64)position * rotary + half + i];
    sine = inverse ? -sine : sine;
    float x1 = widen(x[0]), x2 = widen(x[half]);
    x[0] = narrow<T>(x1 * cosine - x2 * sine);
    x[half] = narrow<T>(x2 * cosine + x1 * sine);
  }
}

#define ROTARY(name, T)                                                                           \
  KERNEL(castalia_rotary_##name, (T* qkv, const float* table, int inverse, int batch,             \
      int sequence, int heads, int dimension, int rotary)) {                                      \
    rotate(qkv, table, inverse != 0, batch, sequence, heads, dimension, rotary);                  \
  }
FOR_EACH_TYPE(ROTARY)
