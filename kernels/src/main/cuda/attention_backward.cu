// Causal attention over qkv (B, S, H, 3, D) on tensor cores, backward. Nothing is added atomically:
// one kernel's blocks own keys, the other's own queries, and each runs through the others in
// ascending blocks. The probabilities are computed again from lse.
#include "attention.cuh"

#define INFINITE __uint_as_float(0x7F800000u)

// Keeps of x (16 keys, N queries), or of its transpose, what causality lets through.
template <int N, bool KEYS_ARE_ROWS>
__device__ __forceinline__ void mask(float (*x)[4], int row, int column0) {
  int lane = threadIdx.x % 32;
#pragma unroll
  for (int n = 0; n < N / 8; n++) {
#pragma unroll
    for (int i = 0; i < 4; i++) {
      int own = row + i / 2 * 8;
      int column = column0 + 8 * n + lane % 4 * 2 + i % 2;
      bool hidden = KEYS_ARE_ROWS ? own > column : column > own;
      x[n][i] = hidden ? 0.0f : x[n][i];
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
      mask<QUERIES, true>(p, key, query0);
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
        mask<QUERIES, true>(d, key, query0);
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
      mask<KEYS, false>(d, row, key0);
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
