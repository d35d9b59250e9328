// Tiles, products and stores that the attention kernels on tensor cores share.
//
// A warp owns 16 rows (queries forward and in the query kernel, keys in the key kernel), so that the
// probabilities it has computed are already laid out as the left operand of its next product.
#ifndef CASTALIA_ATTENTION_CUH
#define CASTALIA_ATTENTION_CUH

#include "mma.cuh"

// Square root of a head's dimension, when compiled.
__host__ __device__ constexpr double root(double x) {
  double y = 16;
  for (int i = 0; i < 40; i++) {
    y = (y + x / y) / 2;
  }
  return y;
}

// Tiles lie in shared memory with 8 elements between rows, so that the 8 rows of a matrix touch all
// banks once.
template <int D>
struct Head {
  static constexpr int STRIDE = D + 8;
  static constexpr float SCALE = (float)(1 / root(D));
  static constexpr float SCALE2 = (float)(1.4426950408889634074 / root(D));
};

// Starts copying rows [first, first + ROWS) of a matrix to a tile; rows from count on are zeros.
template <typename T, int D, int ROWS, int THREADS>
__device__ __forceinline__ void loadTile(T* tile, const T* from, i64 stride, int first, int count,
                                         bool vector) {
  constexpr int PIECES = D / 8, ALL = ROWS * PIECES;
#pragma unroll
  for (int k = 0; k < (ALL + THREADS - 1) / THREADS; k++) {
    int piece = k * THREADS + threadIdx.x;
    if (ALL % THREADS != 0 && piece >= ALL) {
      break;
    }
    int row = piece / PIECES;
    int column = piece % PIECES * 8;
    bool valid = first + row < count;
    const T* source = from + (valid ? first + row : 0) * stride + column;
    T* to = tile + row * Head<D>::STRIDE + column;
    if (vector) {
      copy16(to, source, valid);
    } else {
      for (int i = 0; i < 8; i++) {
        to[i] = valid ? source[i] : T{0};
      }
    }
  }
}

// Lane l's row and column in a 16 x 16 piece that is loaded as a left operand, or transposed as a
// right one: matrices (0, 0), (8, 0), (0, 8), (8, 8).
template <int D, typename T>
__device__ __forceinline__ const T* leftOf(const T* tile, int row, int column) {
  int lane = threadIdx.x % 32;
  return tile + (row + lane % 16) * Head<D>::STRIDE + column + lane / 16 * 8;
}

// The same for a right operand stored by its columns: matrices (0, 0), (0, 8), (8, 0), (8, 8).
template <int D, typename T>
__device__ __forceinline__ const T* rightOf(const T* tile, int row, int column) {
  int lane = threadIdx.x % 32;
  return tile + (row + lane % 8 + lane / 16 * 8) * Head<D>::STRIDE + column + lane / 8 % 2 * 8;
}

// c (16, N) = x (16 rows from row of its tile, D) * y (N, D)^T.
template <typename T, int D, int N>
__device__ __forceinline__ void products(float (*c)[4], const T* x, int row, const T* y) {
#pragma unroll
  for (int n = 0; n < N / 8; n++) {
    c[n][0] = c[n][1] = c[n][2] = c[n][3] = 0.0f;
  }
#pragma unroll
  for (int k = 0; k < D; k += 16) {
    unsigned a[4];
    loadMatrices(a, leftOf<D>(x, row, k));
#pragma unroll
    for (int n = 0; n < N; n += 16) {
      unsigned b[4];
      loadMatrices(b, rightOf<D>(y, n, k));
      mma<T>(c[n / 8], a, b);
      mma<T>(c[n / 8 + 1], a, b + 2);
    }
  }
}

// c (16, D) += p (16, N), rounded to T, * y (N, D).
template <typename T, int D, int N>
__device__ __forceinline__ void accumulate(float (*c)[4], const float (*p)[4], const T* y) {
#pragma unroll
  for (int k = 0; k < N; k += 16) {
    unsigned a[4] = {pack<T>(p[k / 8][0], p[k / 8][1]), pack<T>(p[k / 8][2], p[k / 8][3]),
        pack<T>(p[k / 8 + 1][0], p[k / 8 + 1][1]), pack<T>(p[k / 8 + 1][2], p[k / 8 + 1][3])};
#pragma unroll
    for (int d = 0; d < D; d += 16) {
      unsigned b[4];
      loadTransposed(b, leftOf<D>(y, k, d));
      mma<T>(c[d / 8], a, b);
      mma<T>(c[d / 8 + 1], a, b + 2);
    }
  }
}

// Rounds c (16, D) * factors of its two rows, and stores the rows below count.
template <typename T, int D>
__device__ __forceinline__ void storeRows(T* to, i64 stride, int first, int count,
                                          const float (*c)[4], float factor0, float factor1) {
  int lane = threadIdx.x % 32;
  bool pairs = ((u64)to & 3) == 0;
#pragma unroll
  for (int half = 0; half < 2; half++) {
    int row = first + lane / 4 + 8 * half;
    if (row >= count) {
      continue;
    }
    float factor = half == 0 ? factor0 : factor1;
    T* at = to + row * stride + lane % 4 * 2;
#pragma unroll
    for (int n = 0; n < D / 8; n++) {
      unsigned both = pack<T>(c[n][2 * half] * factor, c[n][2 * half + 1] * factor);
      if (pairs) {
        *(unsigned*)(at + 8 * n) = both;
      } else {
        at[8 * n] = T{(unsigned short)both};
        at[8 * n + 1] = T{(unsigned short)(both >> 16)};
      }
    }
  }
}

#endif
