// One wrapper per machine instruction of the tensor cores and asynchronous copies (sm_80 and later).
// The shim has the same functions for the host in shim_mma.h.
#ifndef CASTALIA_MMA_CUH
#define CASTALIA_MMA_CUH

#include "common.cuh"

#ifdef CASTALIA_SHIM
#include "shim_mma.h"
#else

// c (16, 8) += a (16, 16) b (16, 8). Of lane l, with g = l / 4 and t = 2 (l % 4): a holds rows g and
// g + 8 at k = t, t + 1, then the same rows at k + 8; b holds k = t, t + 1 of column g, then k + 8;
// c holds columns t, t + 1 of row g, then of row g + 8.
template <typename T>
__device__ __forceinline__ void mma(float* c, const unsigned* a, const unsigned* b);

template <>
__device__ __forceinline__ void mma<bf16>(float* c, const unsigned* a, const unsigned* b) {
  asm("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, "
      "{%0,%1,%2,%3};"
      : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}

template <>
__device__ __forceinline__ void mma<f16>(float* c, const unsigned* a, const unsigned* b) {
  asm("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, "
      "{%0,%1,%2,%3};"
      : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}

__device__ __forceinline__ unsigned sharedAddress(const void* pointer) {
  return (unsigned)__cvta_generic_to_shared(pointer);
}

// Four 8 x 8 matrices of 2-byte elements. Lane l names row l % 8 of matrix l / 8 and receives of
// each matrix the elements t, t + 1 of row g (with g, t as above).
__device__ __forceinline__ void loadMatrices(unsigned* to, const void* row) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3}, [%4];"
               : "=r"(to[0]), "=r"(to[1]), "=r"(to[2]), "=r"(to[3])
               : "r"(sharedAddress(row))
               : "memory");
}

// The same, of each matrix the elements at rows t, t + 1 of column g.
__device__ __forceinline__ void loadTransposed(unsigned* to, const void* row) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0,%1,%2,%3}, [%4];"
               : "=r"(to[0]), "=r"(to[1]), "=r"(to[2]), "=r"(to[3])
               : "r"(sharedAddress(row))
               : "memory");
}

// Starts a copy of 16 bytes to shared memory, or of 16 zeros.
__device__ __forceinline__ void copy16(void* to, const void* from, bool valid) {
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;"
               :
               : "r"(sharedAddress(to)), "l"(from), "r"(valid ? 16 : 0)
               : "memory");
}

// Makes one group of this thread's copies since the last.
__device__ __forceinline__ void commitCopies() { asm volatile("cp.async.commit_group;" ::: "memory"); }

// Waits for this thread's groups but the newest GROUPS.
template <int GROUPS>
__device__ __forceinline__ void waitCopies() {
  asm volatile("cp.async.wait_group %0;" : : "n"(GROUPS) : "memory");
}

// Two numbers rounded to nearest even, the first in the low half.
template <typename T>
__device__ __forceinline__ unsigned pack(float low, float high);

template <>
__device__ __forceinline__ unsigned pack<bf16>(float low, float high) {
  unsigned bits;
  asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(bits) : "f"(high), "f"(low));
  return bits;
}

template <>
__device__ __forceinline__ unsigned pack<f16>(float low, float high) {
  unsigned bits;
  asm("cvt.rn.f16x2.f32 %0, %1, %2;" : "=r"(bits) : "f"(high), "f"(low));
  return bits;
}

// 2^x to 2 units in the last place; results below 2^-126 are 0.
__device__ __forceinline__ float power2(float x) {
  float y;
  asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
  return y;
}

#endif
#endif
