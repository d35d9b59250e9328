// Causal attention over qkv (B, S, H, 3, D) on tensor cores, forward, for BF16 and F16 with D of 32,
// 64, 80, 128 and 256. Keys run in ascending blocks. attention_plain.cu has the rest.
#include "attention.cuh"

#define NEGATIVE_INFINITY __uint_as_float(0xFF800000u)

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
