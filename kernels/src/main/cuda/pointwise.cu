// Operations without sums over rows or columns. Grid of every kernel here, unless it says
// otherwise: pieces(count) blocks of 256 threads with pieces(n) = min(max(1, ceil(n / 2048)), 8192),
// no shared memory; any smaller or larger grid gives the same bits.
#include "common.cuh"

// castalia_fill_T(T* out, float value, i64 count): value is rounded once.
#define FILL(name, T)                                                           \
  KERNEL(castalia_fill_##name, (T* out, float value, i64 count)) {              \
    float values[8];                                                            \
    _Pragma("unroll") for (int i = 0; i < 8; i++) { values[i] = value; }        \
    bool vector = wide(out);                                                    \
    for (i64 at = first8(); at < count; at += step8()) {                        \
      store8(out, values, at, count, vector);                                   \
    }                                                                           \
  }
FOR_EACH_TYPE(FILL)

// castalia_add_f32(float* out, const float* x, i64 count): out += x.
KERNEL(castalia_add_f32, (float* out, const float* x, i64 count)) {
  bool vector = wide(out) && wide(x);
  for (i64 at = first8(); at < count; at += step8()) {
    float sum[8], other[8];
    load8(sum, out, at, count, vector);
    load8(other, x, at, count, vector);
#pragma unroll
    for (int i = 0; i < 8; i++) {
      sum[i] = sum[i] + other[i];
    }
    store8(out, sum, at, count, vector);
  }
}

// castalia_cast_A_B(A* out, const B* x, i64 count): out = x, rounded to nearest even. Equal types
// are copied bit for bit.
template <typename A, typename B>
__device__ __forceinline__ void castTo(A* out, const B* x, i64 count) {
  bool vector = wide(out) && wide(x);
  for (i64 at = first8(); at < count; at += step8()) {
    float values[8];
    load8(values, x, at, count, vector);
    store8(out, values, at, count, vector);
  }
}

template <typename T>
__device__ __forceinline__ void copyTo(T* out, const T* x, i64 count) {
  bool vector = wide(out) && wide(x);
  for (i64 at = first8(); at < count; at += step8()) {
    if (vector && at + 8 <= count) {
      *(Eight<T>*)(out + at) = *(const Eight<T>*)(x + at);
    } else {
      for (i64 i = at; i < at + 8 && i < count; i++) {
        out[i] = x[i];
      }
    }
  }
}

KERNEL(castalia_cast_f32_f32, (float* out, const float* x, i64 count)) { copyTo(out, x, count); }
KERNEL(castalia_cast_bf16_bf16, (bf16* out, const bf16* x, i64 count)) { copyTo(out, x, count); }
KERNEL(castalia_cast_f16_f16, (f16* out, const f16* x, i64 count)) { copyTo(out, x, count); }
KERNEL(castalia_cast_f32_bf16, (float* out, const bf16* x, i64 count)) { castTo(out, x, count); }
KERNEL(castalia_cast_f32_f16, (float* out, const f16* x, i64 count)) { castTo(out, x, count); }
KERNEL(castalia_cast_bf16_f32, (bf16* out, const float* x, i64 count)) { castTo(out, x, count); }
KERNEL(castalia_cast_bf16_f16, (bf16* out, const f16* x, i64 count)) { castTo(out, x, count); }
KERNEL(castalia_cast_f16_f32, (f16* out, const float* x, i64 count)) { castTo(out, x, count); }
KERNEL(castalia_cast_f16_bf16, (f16* out, const bf16* x, i64 count)) { castTo(out, x, count); }
