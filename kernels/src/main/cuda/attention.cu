// Causal attention over qkv (B, S, H, 3, D) on tensor cores, for BF16 and F16 with D of 32, 64, 80,
// 128 and 256. Keys run in ascending blocks; nothing is added atomically: the backward pass has one
// kernel whose blocks own keys and one whose blocks own queries. attention_plain.cu has the rest.
//
// A warp owns 16 rows (queries forward and in the query kernel, keys in the key kernel), so that the
// probabilities it has computed are already laid out as the left operand of its next product.
#include "mma.cuh"

#define NEGATIVE_INFINITY __uint_as_float(0xFF800000u)
#define INFINITE __uint_as_float(0x7F800000u)

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

__device__ __forceinline__ float quadMax(float x) {
  x = fmaxf(x, __shfl_xor_sync(0xFFFFFFFFu, x, 1));
  return fmaxf(x, __shfl_xor_sync(0xFFFFFFFFu, x, 2));
}

__device__ __forceinline__ float quadSum(float x) {
  x += __shfl_xor_sync(0xFFFFFFFFu, x, 1);
  return x + __shfl_xor_sync(0xFFFFFFFFu, x, 2);
}

// castalia_attention_D_T(T* out, float* lse, const T* qkv, int batch, int sequence, int heads).
// Grid (ceil(sequence / (16 warps)), heads, batch), block 32 warps, shared
// (16 warps + 2 keys) (D + 8) 2 bytes, with (warps, keys) = (8, 64), and (4, 32) for D = 256.
//
// Loads overlap: values arrive while scores are computed, the next keys while outputs are.
template <typename T, int D, int WARPS, int KEYS>
__device__ __forceinline__ void attention(T* out, float* lse, const T* qkv, int sequence,
                                          int heads) {
  constexpr int ROWS = 16 * WARPS, THREADS = 32 * WARPS, TILE = Head<D>::STRIDE;
  constexpr float SCALE = Head<D>::SCALE, SCALE2 = Head<D>::SCALE2;
  DYNAMIC_SHARED(memory);
  T* queryTile = (T*)memory;
  T* keyTile = queryTile + ROWS * TILE;
  T* valueTile = keyTile + KEYS * TILE;

  int query0 = (gridDim.x - 1 - blockIdx.x) * ROWS;  // the longest first
  i64 stride = 3 * (i64)heads * D;
  const T* queries = qkv + blockIdx.z * (i64)sequence * stride + (i64)blockIdx.y * 3 * D;
  const T* keys = queries + D;
  const T* values = keys + D;
  bool vector = wide(qkv);
  loadTile<T, D, ROWS, THREADS>(queryTile, queries, stride, query0, sequence, vector);
  loadTile<T, D, KEYS, THREADS>(keyTile, keys, stride, 0, sequence, vector);
  commitCopies();

  int lane = threadIdx.x % 32;
  int warpRow = threadIdx.x / 32 * 16;
  int row = query0 + warpRow + lane / 4;  // and row + 8
  float output[D / 8][4];
#pragma unroll
  for (int n = 0; n < D / 8; n++) {
    output[n][0] = output[n][1] = output[n][2] = output[n][3] = 0.0f;
  }
  float largest[2] = {NEGATIVE_INFINITY, NEGATIVE_INFINITY};
  float sum[2] = {0.0f, 0.0f};
  int end = min(query0 + ROWS, sequence);
  for (int key0 = 0; key0 < end; key0 += KEYS) {
    waitCopies<0>();
    __syncthreads();
    loadTile<T, D, KEYS, THREADS>(valueTile, values, stride, key0, sequence, vector);
    commitCopies();
    bool seen = key0 <= query0 + warpRow + 15;  // by any query of the warp
    float p[KEYS / 8][4];
    if (seen) {
      products<T, D, KEYS>(p, queryTile, warpRow, keyTile);
    }
    waitCopies<0>();
    __syncthreads();
    if (key0 + KEYS < end) {
      loadTile<T, D, KEYS, THREADS>(keyTile, keys, stride, key0 + KEYS, sequence, vector);
      commitCopies();
    }
    if (!seen) {
      continue;
    }
    if (key0 + KEYS - 1 > query0 + warpRow) {
#pragma unroll
      for (int n = 0; n < KEYS / 8; n++) {
#pragma unroll
        for (int i = 0; i < 4; i++) {
          int key = key0 + 8 * n + lane % 4 * 2 + i % 2;
          p[n][i] = key > row + i / 2 * 8 ? NEGATIVE_INFINITY : p[n][i];
        }
      }
    }
#pragma unroll
    for (int half = 0; half < 2; half++) {
      float before = largest[half];
      float most = before;
#pragma unroll
      for (int n = 0; n < KEYS / 8; n++) {
        most = fmaxf(most, fmaxf(p[n][2 * half], p[n][2 * half + 1]));
      }
      most = quadMax(most);
      float shift = most * SCALE2;
      float rescale = power2(fmaf(before, SCALE2, -shift));
      float added = 0.0f;
#pragma unroll
      for (int n = 0; n < KEYS / 8; n++) {
        p[n][2 * half] = power2(fmaf(p[n][2 * half], SCALE2, -shift));
        p[n][2 * half + 1] = power2(fmaf(p[n][2 * half + 1], SCALE2, -shift));
        added += p[n][2 * half] + p[n][2 * half + 1];
      }
#pragma unroll
      for (int n = 0; n < D / 8; n++) {
        output[n][2 * half] *= rescale;
        output[n][2 * half + 1] *= rescale;
      }
      largest[half] = most;
      sum[half] = fmaf(sum[half], rescale, added);
    }
    accumulate<T, D, KEYS>(output, p, valueTile);
  }
  float factor[2];
#pragma unroll
  for (int half = 0; half < 2; half++) {
    float total = quadSum(sum[half]);
    factor[half] = 1.0f / total;
    int query = row + 8 * half;
    if (lane % 4 == 0 && query < sequence) {
      i64 head = blockIdx.z * (i64)heads + blockIdx.y;
      lse[head * sequence + query] = fmaf(largest[half], SCALE, logf(total));
    }
  }
  storeRows<T, D>(out + (blockIdx.z * (i64)sequence * heads + blockIdx.y) * D, (i64)heads * D,
      query0 + warpRow, sequence, output, factor[0], factor[1]);
}

#define ATTENTION(d, warps, keys, blocks, name, T)                                          \
  KERNEL_BOUNDS(32 * warps, blocks, castalia_attention_##d##_##name, (T* out, float* lse,   \
      const T* qkv, int batch, int sequence, int heads)) {                                  \
    if (blockIdx.z < (unsigned)batch) {                                                     \
      attention<T, d, warps, keys>(out, lse, qkv, sequence, heads);                         \
    }                                                                                       \
  }
#define ATTENTIONS(name, T)          \
  ATTENTION(32, 8, 64, 2, name, T)   \
  ATTENTION(64, 8, 64, 2, name, T)   \
  ATTENTION(80, 8, 64, 2, name, T)   \
  ATTENTION(128, 8, 64, 1, name, T)  \
  ATTENTION(256, 4, 32, 1, name, T)
ATTENTIONS(bf16, bf16)
ATTENTIONS(f16, f16)

// --- Backward ------------------------------------------------------------------------------------

// Keeps of x (16 keys, N queries), or of its transpose, what causality lets through.
template <int N, bool KEYS_ARE_ROWS>
__device__ __forceinline__ void mask(float (*x)[4], int row, int column0, float masked) {
  int lane = threadIdx.x % 32;
#pragma unroll
  for (int n = 0; n < N / 8; n++) {
#pragma unroll
    for (int i = 0; i < 4; i++) {
      int own = row + i / 2 * 8;
      int column = column0 + 8 * n + lane % 4 * 2 + i % 2;
      bool hidden = KEYS_ARE_ROWS ? own > column : column > own;
      x[n][i] = hidden ? masked : x[n][i];
    }
  }
}

// castalia_attention_keys_D_T(T* dQkv, const T* dOut, const float* lse, const float* delta,
// const T* qkv, int batch, int sequence, int heads): dK and dV; delta (B, H, S) is
// castalia_attention_delta_T's. Grid (ceil(sequence / 64), heads, batch), and 2 batch for D = 256,
// where one half of the blocks makes dV and the other dK; block 128; shared
// (128 + 4 queries) (D + 8) 2 + 16 queries bytes with queries = 64 to D = 80, 32 above.
//
// Queries run in ascending blocks; the next block arrives while one is worked on.
template <typename T, int D, int QUERIES, bool VALUES, bool KEYS>
__device__ __forceinline__ void keyGradients(T* dQkv, const T* dOut, const float* lse,
                                             const float* delta, const T* qkv, int batch,
                                             int sequence, int heads) {
  constexpr int ROWS = 64, THREADS = 128, TILE = Head<D>::STRIDE;
  constexpr float SCALE = Head<D>::SCALE, SCALE2 = Head<D>::SCALE2;
  DYNAMIC_SHARED(memory);
  T* keyTile = (T*)memory;
  T* valueTile = keyTile + ROWS * TILE;
  T* queryTiles = valueTile + ROWS * TILE;           // two
  T* dOutTiles = queryTiles + 2 * QUERIES * TILE;    // two
  float* sums = (float*)(dOutTiles + 2 * QUERIES * TILE);  // two of lse and delta

  int key0 = blockIdx.x * ROWS;  // the first keys have the most queries
  i64 stride = 3 * (i64)heads * D;
  i64 outStride = (i64)heads * D;
  i64 offset = batch * (i64)sequence * stride + (i64)blockIdx.y * 3 * D;
  const T* queries = qkv + offset;
  const T* dOuts = dOut + (batch * (i64)sequence * heads + blockIdx.y) * D;
  i64 head = (batch * (i64)heads + blockIdx.y) * sequence;
  bool vector = wide(qkv) && wide(dOut);

  auto load = [&](int query0, int stage) {
    loadTile<T, D, QUERIES, THREADS>(queryTiles + stage * QUERIES * TILE, queries, stride, query0,
        sequence, vector);
    loadTile<T, D, QUERIES, THREADS>(dOutTiles + stage * QUERIES * TILE, dOuts, outStride, query0,
        sequence, vector);
    commitCopies();
    if (threadIdx.x < QUERIES) {
      int query = query0 + threadIdx.x;
      bool valid = query < sequence;
      float* to = sums + stage * 2 * QUERIES + threadIdx.x;
      // Beyond the sequence an infinite sum makes every probability 0.
      to[0] = valid ? lse[head + query] * 1.44269504088896341f : INFINITE;
      to[QUERIES] = valid ? delta[head + query] : 0.0f;
    }
  };
  loadTile<T, D, ROWS, THREADS>(keyTile, queries + D, stride, key0, sequence, vector);
  loadTile<T, D, ROWS, THREADS>(valueTile, queries + 2 * D, stride, key0, sequence, vector);
  load(key0, 0);

  int lane = threadIdx.x % 32;
  int warpRow = threadIdx.x / 32 * 16;
  int key = key0 + warpRow + lane / 4;  // and key + 8
  float dValue[D / 8][4], dKey[D / 8][4];
#pragma unroll
  for (int n = 0; n < D / 8; n++) {
#pragma unroll
    for (int i = 0; i < 4; i++) {
      dValue[n][i] = dKey[n][i] = 0.0f;
    }
  }
  int stage = 0;
  for (int query0 = key0; query0 < sequence; query0 += QUERIES, stage ^= 1) {
    waitCopies<0>();
    __syncthreads();
    if (query0 + QUERIES < sequence) {
      load(query0 + QUERIES, stage ^ 1);
    }
    if (query0 + QUERIES - 1 < key0 + warpRow) {
      continue;  // no query of the block sees a key of the warp
    }
    const T* queryTile = queryTiles + stage * QUERIES * TILE;
    const T* dOutTile = dOutTiles + stage * QUERIES * TILE;
    const float* logs = sums + stage * 2 * QUERIES;
    bool diagonal = query0 < key0 + warpRow + 15;
    float p[QUERIES / 8][4];
    products<T, D, QUERIES>(p, keyTile, warpRow, queryTile);
#pragma unroll
    for (int n = 0; n < QUERIES / 8; n++) {
#pragma unroll
      for (int i = 0; i < 4; i++) {
        p[n][i] = power2(fmaf(p[n][i], SCALE2, -logs[8 * n + lane % 4 * 2 + i % 2]));
      }
    }
    if (diagonal) {
      mask<QUERIES, true>(p, key, query0, 0.0f);
    }
    if (VALUES) {
      accumulate<T, D, QUERIES>(dValue, p, dOutTile);
    }
    if (KEYS) {
      float d[QUERIES / 8][4];
      products<T, D, QUERIES>(d, valueTile, warpRow, dOutTile);
#pragma unroll
      for (int n = 0; n < QUERIES / 8; n++) {
#pragma unroll
        for (int i = 0; i < 4; i++) {
          d[n][i] = p[n][i] * (d[n][i] - logs[QUERIES + 8 * n + lane % 4 * 2 + i % 2]);
        }
      }
      if (diagonal) {
        mask<QUERIES, true>(d, key, query0, 0.0f);
      }
      accumulate<T, D, QUERIES>(dKey, d, queryTile);
    }
  }
  if (VALUES) {
    storeRows<T, D>(dQkv + offset + 2 * D, stride, key0 + warpRow, sequence, dValue, 1.0f, 1.0f);
  }
  if (KEYS) {
    storeRows<T, D>(dQkv + offset + D, stride, key0 + warpRow, sequence, dKey, SCALE, SCALE);
  }
}

#define KEY_GRADIENTS(d, queries, blocks, name, T)                                              \
  KERNEL_BOUNDS(128, blocks, castalia_attention_keys_##d##_##name, (T* dQkv, const T* dOut,     \
      const float* lse, const float* delta, const T* qkv, int batch, int sequence, int heads)) { \
    if (blockIdx.z < (unsigned)batch) {                                                         \
      keyGradients<T, d, queries, true, true>(dQkv, dOut, lse, delta, qkv, blockIdx.z,          \
          sequence, heads);                                                                     \
    }                                                                                           \
  }
#define SPLIT_KEY_GRADIENTS(d, queries, blocks, name, T)                                        \
  KERNEL_BOUNDS(128, blocks, castalia_attention_keys_##d##_##name, (T* dQkv, const T* dOut,     \
      const float* lse, const float* delta, const T* qkv, int batch, int sequence, int heads)) { \
    if (blockIdx.z < (unsigned)batch) {                                                         \
      keyGradients<T, d, queries, false, true>(dQkv, dOut, lse, delta, qkv, blockIdx.z,         \
          sequence, heads);                                                                     \
    } else {                                                                                    \
      keyGradients<T, d, queries, true, false>(dQkv, dOut, lse, delta, qkv, blockIdx.z - batch, \
          sequence, heads);                                                                     \
    }                                                                                           \
  }
#define ALL_KEY_GRADIENTS(name, T)         \
  KEY_GRADIENTS(32, 64, 3, name, T)        \
  KEY_GRADIENTS(64, 64, 2, name, T)        \
  KEY_GRADIENTS(80, 64, 2, name, T)        \
  KEY_GRADIENTS(128, 32, 2, name, T)       \
  SPLIT_KEY_GRADIENTS(256, 32, 1, name, T)
ALL_KEY_GRADIENTS(bf16, bf16)
ALL_KEY_GRADIENTS(f16, f16)

// castalia_attention_queries_D_T: dQ; arguments and block of castalia_attention_keys_D_T. Grid
// (ceil(sequence / 64), heads, batch), shared (128 + 4 keys) (D + 8) 2 bytes with keys = 64 to
// D = 80, 32 above.
template <typename T, int D, int KEYS>
__device__ __forceinline__ void queryGradients(T* dQkv, const T* dOut, const float* lse,
                                               const float* delta, const T* qkv, int sequence,
                                               int heads) {
  constexpr int ROWS = 64, THREADS = 128, TILE = Head<D>::STRIDE;
  constexpr float SCALE = Head<D>::SCALE, SCALE2 = Head<D>::SCALE2;
  DYNAMIC_SHARED(memory);
  T* queryTile = (T*)memory;
  T* dOutTile = queryTile + ROWS * TILE;
  T* keyTiles = dOutTile + ROWS * TILE;        // two
  T* valueTiles = keyTiles + 2 * KEYS * TILE;  // two

  int query0 = (gridDim.x - 1 - blockIdx.x) * ROWS;  // the longest first
  i64 stride = 3 * (i64)heads * D;
  i64 offset = blockIdx.z * (i64)sequence * stride + (i64)blockIdx.y * 3 * D;
  const T* queries = qkv + offset;
  const T* dOuts = dOut + (blockIdx.z * (i64)sequence * heads + blockIdx.y) * D;
  i64 head = (blockIdx.z * (i64)heads + blockIdx.y) * sequence;
  bool vector = wide(qkv) && wide(dOut);

  auto load = [&](int key0, int stage) {
    loadTile<T, D, KEYS, THREADS>(keyTiles + stage * KEYS * TILE, queries + D, stride, key0,
        sequence, vector);
    loadTile<T, D, KEYS, THREADS>(valueTiles + stage * KEYS * TILE, queries + 2 * D, stride, key0,
        sequence, vector);
    commitCopies();
  };
  loadTile<T, D, ROWS, THREADS>(queryTile, queries, stride, query0, sequence, vector);
  loadTile<T, D, ROWS, THREADS>(dOutTile, dOuts, (i64)heads * D, query0, sequence, vector);
  load(0, 0);

  int lane = threadIdx.x % 32;
  int warpRow = threadIdx.x / 32 * 16;
  int row = query0 + warpRow + lane / 4;  // and row + 8
  float logs[2], deltas[2];
#pragma unroll
  for (int half = 0; half < 2; half++) {
    int query = row + 8 * half;
    bool valid = query < sequence;
    logs[half] = valid ? lse[head + query] * 1.44269504088896341f : INFINITE;
    deltas[half] = valid ? delta[head + query] : 0.0f;
  }
  float dQuery[D / 8][4];
#pragma unroll
  for (int n = 0; n < D / 8; n++) {
    dQuery[n][0] = dQuery[n][1] = dQuery[n][2] = dQuery[n][3] = 0.0f;
  }
  int end = min(query0 + ROWS, sequence);
  int stage = 0;
  for (int key0 = 0; key0 < end; key0 += KEYS, stage ^= 1) {
    waitCopies<0>();
    __syncthreads();
    if (key0 + KEYS < end) {
      load(key0 + KEYS, stage ^ 1);
    }
    if (key0 > query0 + warpRow + 15) {
      continue;  // no query of the warp sees a key of the block
    }
    const T* keyTile = keyTiles + stage * KEYS * TILE;
    const T* valueTile = valueTiles + stage * KEYS * TILE;
    float p[KEYS / 8][4], d[KEYS / 8][4];
    products<T, D, KEYS>(p, queryTile, warpRow, keyTile);
    products<T, D, KEYS>(d, dOutTile, warpRow, valueTile);
#pragma unroll
    for (int n = 0; n < KEYS / 8; n++) {
#pragma unroll
      for (int i = 0; i < 4; i++) {
        p[n][i] = power2(fmaf(p[n][i], SCALE2, -logs[i / 2]));
        d[n][i] = p[n][i] * (d[n][i] - deltas[i / 2]);
      }
    }
    if (key0 + KEYS - 1 > query0 + warpRow) {
      mask<KEYS, false>(d, row, key0, 0.0f);
    }
    accumulate<T, D, KEYS>(dQuery, d, keyTile);
  }
  storeRows<T, D>(dQkv + offset, stride, query0 + warpRow, sequence, dQuery, SCALE, SCALE);
}

#define QUERY_GRADIENTS(d, keys, blocks, name, T)                                               \
  KERNEL_BOUNDS(128, blocks, castalia_attention_queries_##d##_##name, (T* dQkv, const T* dOut,  \
      const float* lse, const float* delta, const T* qkv, int batch, int sequence, int heads)) { \
    if (blockIdx.z < (unsigned)batch) {                                                         \
      queryGradients<T, d, keys>(dQkv, dOut, lse, delta, qkv, sequence, heads);                 \
    }                                                                                           \
  }
#define ALL_QUERY_GRADIENTS(name, T)  \
  QUERY_GRADIENTS(32, 64, 3, name, T) \
  QUERY_GRADIENTS(64, 64, 3, name, T) \
  QUERY_GRADIENTS(80, 64, 2, name, T) \
  QUERY_GRADIENTS(128, 32, 2, name, T) \
  QUERY_GRADIENTS(256, 32, 1, name, T)
ALL_QUERY_GRADIENTS(bf16, bf16)
ALL_QUERY_GRADIENTS(f16, f16)
