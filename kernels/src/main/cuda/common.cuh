// What every kernel file needs: element types, roundings, 8-element loads and stores, reductions.
// No system header, so that a run-time compiler needs this folder alone. Compile with -fmad=false:
// a fused multiply-add is written fmaf or fma, as numerics.md asks. With CASTALIA_SHIM the same code
// is compiled for the host, for tests.
#ifndef CASTALIA_COMMON_CUH
#define CASTALIA_COMMON_CUH

#ifdef CASTALIA_SHIM
#include "shim.h"
#define KERNEL(name, arguments)                     \
  extern "C" void name arguments;                   \
  static const shim::Enlisted enlisted_##name(#name, name); \
  extern "C" void name arguments
#define KERNEL_BOUNDS(threads, blocks, name, arguments) KERNEL(name, arguments)
#define DYNAMIC_SHARED(name) unsigned char* name = shim::dynamicShared()
#define BY_VALUE(type) const type
#else
#define KERNEL(name, arguments) extern "C" __global__ void name arguments
#define KERNEL_BOUNDS(threads, blocks, name, arguments) \
  extern "C" __global__ void __launch_bounds__(threads, blocks) name arguments
#define DYNAMIC_SHARED(name) extern __shared__ __align__(16) unsigned char name[]
// A struct argument that is indexed where the driver put it, not copied.
#define BY_VALUE(type) const __grid_constant__ type
#endif

typedef unsigned long long u64;
typedef long long i64;

// bfloat16 and binary16 by their bits.
struct bf16 {
  unsigned short bits;
};

struct f16 {
  unsigned short bits;
};

// Several buffers by value: slices of a sum.
template <typename T, int N = 16>
struct Buffers {
  T* at[N];
};

// --- Exact widening, and rounding to nearest even (numerics.md section 6) -------------------------

__device__ __forceinline__ float widen(float x) { return x; }

__device__ __forceinline__ float widen(bf16 x) { return __uint_as_float((unsigned)x.bits << 16); }

__device__ __forceinline__ float widen(f16 x) {
  unsigned magnitude = (unsigned)(x.bits & 0x7FFF) << 13;
  unsigned sign = (unsigned)(x.bits & 0x8000) << 16;
  if (magnitude >= 0x0F800000u) {  // infinite or NaN: the bits are moved
    return __uint_as_float(sign | 0x70000000u | magnitude);
  }
  // Scaling by 2^112 is exact, of subnormals too.
  float value = __uint_as_float(magnitude) * __uint_as_float(0x77800000u);
  return __uint_as_float(sign | __float_as_uint(value));
}

template <typename T>
__device__ __forceinline__ T narrow(float x);

template <>
__device__ __forceinline__ float narrow<float>(float x) {
  return x;
}

template <>
__device__ __forceinline__ bf16 narrow<bf16>(float x) {
  unsigned bits = __float_as_uint(x);
  unsigned rounded = (bits + 0x7FFFu + (bits >> 16 & 1u)) >> 16;
  bool nan = (bits & 0x7FFFFFFFu) > 0x7F800000u;
  return bf16{(unsigned short)(nan ? bits >> 16 | 0x40u : rounded)};
}

template <>
__device__ __forceinline__ f16 narrow<f16>(float x) {
  unsigned bits = __float_as_uint(x);
  unsigned sign = bits >> 16 & 0x8000u;
  unsigned magnitude = bits & 0x7FFFFFFFu;
  unsigned rounded;
  if (magnitude > 0x7F800000u) {
    rounded = 0x7E00u | (bits >> 13 & 0x3FFu);
  } else if (magnitude >= 0x477FF000u) {  // 65520 and more
    rounded = 0x7C00u;
  } else if (magnitude < 0x38800000u) {  // below 2^-14: the addition rounds to multiples of 2^-24
    rounded = __float_as_uint(__uint_as_float(magnitude) + 0.5f) - 0x3F000000u;
  } else {
    rounded = (magnitude - 0x38000000u + 0xFFFu + (magnitude >> 13 & 1u)) >> 13;
  }
  return f16{(unsigned short)(sign | rounded)};
}

// --- Several elements at once --------------------------------------------------------------------

// True if a pointer may be read and written 16 bytes at a time.
__device__ __forceinline__ bool wide(const void* pointer) { return ((u64)pointer & 15) == 0; }

template <typename T, int N>
struct alignas(sizeof(T) * N < 16 ? sizeof(T) * N : 16) Some {
  T at[N];
};

template <typename T>
using Eight = Some<T, 8>;

// The elements [at, at + N) of x, widened; 0 where at or beyond count. How they are loaded, at once
// or one by one, never changes a result.
template <int N, typename T>
__device__ __forceinline__ void load(float* to, const T* x, i64 at, i64 count, bool vector) {
  if (vector && at + N <= count) {
    Some<T, N> some = *(const Some<T, N>*)(x + at);
#pragma unroll
    for (int i = 0; i < N; i++) {
      to[i] = widen(some.at[i]);
    }
  } else {
#pragma unroll
    for (int i = 0; i < N; i++) {
      to[i] = at + i < count ? widen(x[at + i]) : 0.0f;
    }
  }
}

template <int N, typename T>
__device__ __forceinline__ void store(T* x, const float* from, i64 at, i64 count, bool vector) {
  if (vector && at + N <= count) {
    Some<T, N> some;
#pragma unroll
    for (int i = 0; i < N; i++) {
      some.at[i] = narrow<T>(from[i]);
    }
    *(Some<T, N>*)(x + at) = some;
  } else {
#pragma unroll
    for (int i = 0; i < N; i++) {
      if (at + i < count) {
        x[at + i] = narrow<T>(from[i]);
      }
    }
  }
}

template <typename T>
__device__ __forceinline__ void load8(float* to, const T* x, i64 at, i64 count, bool vector) {
  load<8>(to, x, at, count, vector);
}

template <typename T>
__device__ __forceinline__ void store8(T* x, const float* from, i64 at, i64 count, bool vector) {
  store<8>(x, from, at, count, vector);
}

// Eight elements a thread, over the whole grid: for (i64 at = first8(); at < count; at += step8()).
__device__ __forceinline__ i64 first8() {
  return 8 * ((i64)blockIdx.x * blockDim.x + threadIdx.x);
}

__device__ __forceinline__ i64 step8() { return 8 * (i64)gridDim.x * blockDim.x; }

// Four elements a thread where F32 is stored: a warp then writes whole sectors of memory.
__device__ __forceinline__ i64 first4() {
  return 4 * ((i64)blockIdx.x * blockDim.x + threadIdx.x);
}

__device__ __forceinline__ i64 step4() { return 4 * (i64)gridDim.x * blockDim.x; }

// --- Sums in a fixed order -----------------------------------------------------------------------

__device__ __forceinline__ float warpSum(float x) {
#pragma unroll
  for (int bits = 16; bits > 0; bits /= 2) {
    x += __shfl_xor_sync(0xFFFFFFFFu, x, bits);
  }
  return x;
}

__device__ __forceinline__ float warpMax(float x) {
#pragma unroll
  for (int bits = 16; bits > 0; bits /= 2) {
    x = fmaxf(x, __shfl_xor_sync(0xFFFFFFFFu, x, bits));
  }
  return x;
}

__device__ __forceinline__ u64 warpSum(u64 x) {
#pragma unroll
  for (int bits = 16; bits > 0; bits /= 2) {
    x += __shfl_xor_sync(0xFFFFFFFFu, x, bits);
  }
  return x;
}

// macro(name, T) for each element type.
#define FOR_EACH_TYPE(macro) \
  macro(f32, float)          \
  macro(bf16, bf16)          \
  macro(f16, f16)

#endif
