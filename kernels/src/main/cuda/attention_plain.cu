// Causal attention over qkv (B, S, H, 3, D) without tensor cores: for F32, and for head dimensions
// up to 256 that attention.cu and attention_backward.cu do not have. A warp owns one query or one key; sums are F32, nothing
// is added atomically. And the row sums of dOut * out, which every backward pass needs first.
#include "common.cuh"

#define NEGATIVE_INFINITY __uint_as_float(0xFF800000u)
#define WARPS 4
#define MOST 256  // dimensions of a head

// castalia_attention_delta_T(float* delta, const T* dOut, const T* out, int batch, int sequence,
// int heads, int dimension): delta (B, H, S), sums of dOut * out over a head. Grid
// ceil(batch * sequence * heads / 8), block 256.
template <typename T>
__device__ __forceinline__ void rowSums(float* delta, const T* dOut, const T* out, int batch,
                                        int sequence, int heads, int dimension) {
  i64 vector = (i64)blockIdx.x * 8 + threadIdx.x / 32;
  if (vector >= (i64)batch * sequence * heads) {
    return;  // a whole warp
  }
  int lane = threadIdx.x % 32;
  const T* d = dOut + vector * dimension;
  const T* o = out + vector * dimension;
  float sum = 0.0f;
#pragma unroll 2
  for (int i = lane; i < dimension; i += 32) {
    sum = fmaf(widen(d[i]), widen(o[i]), sum);
  }
  sum = warpSum(sum);
  if (lane == 0) {
    i64 token = vector / heads;
    i64 head = token / sequence * heads + vector % heads;
    delta[head * sequence + token % sequence] = sum;
  }
}

#define DELTA(name, T)                                                                        \
  KERNEL(castalia_attention_delta_##name, (float* delta, const T* dOut, const T* out,         \
      int batch, int sequence, int heads, int dimension)) {                                   \
    rowSums(delta, dOut, out, batch, sequence, heads, dimension);                             \
  }
FOR_EACH_TYPE(DELTA)

// Rows of one head in qkv and in out.
template <typename T>
struct Rows {
  const T* q;
  const T* k;
  const T* v;
  i64 offset;      // of q in qkv
  i64 stride;      // of qkv
  i64 outOffset;
  i64 outStride;
  i64 statistics;  // offset in lse and delta

  __device__ __forceinline__ Rows(const T* qkv, int sequence, int heads, int dimension) {
    stride = 3 * (i64)heads * dimension;
    outStride = (i64)heads * dimension;
    offset = blockIdx.z * (i64)sequence * stride + (i64)blockIdx.y * 3 * dimension;
    outOffset = blockIdx.z * (i64)sequence * outStride + (i64)blockIdx.y * dimension;
    statistics = (blockIdx.z * (i64)heads + blockIdx.y) * sequence;
    q = qkv + offset;
    k = q + dimension;
    v = k + dimension;
  }
};

// A warp's own row, widened, where all lanes read it.
template <typename T>
__device__ __forceinline__ void keepRow(float* kept, const T* row, int dimension) {
  for (int i = threadIdx.x % 32; i < dimension; i += 32) {
    kept[i] = widen(row[i]);
  }
}

template <typename T>
__device__ __forceinline__ float dot(const float* kept, const T* row, int dimension) {
  float sum = 0.0f;
#pragma unroll 4
  for (int i = 0; i < dimension; i++) {
    sum = fmaf(kept[i], widen(row[i]), sum);
  }
  return sum;
}

// sums += scalar * row; lane l has dimensions l, l + 32, ...
template <typename T>
__device__ __forceinline__ void addRow(float* sums, float scalar, const T* row, int dimension) {
#pragma unroll
  for (int i = 0; i < MOST / 32; i++) {
    int at = i * 32 + threadIdx.x % 32;
    if (at < dimension) {
      sums[i] = fmaf(scalar, widen(row[at]), sums[i]);
    }
  }
}

template <typename T>
__device__ __forceinline__ void storeRow(T* row, const float* sums, float factor, int dimension) {
#pragma unroll
  for (int i = 0; i < MOST / 32; i++) {
    int at = i * 32 + threadIdx.x % 32;
    if (at < dimension) {
      row[at] = narrow<T>(sums[i] * factor);
    }
  }
}

// castalia_attention_plain_T(T* out, float* lse, const T* qkv, int batch, int sequence, int heads,
// int dimension). Grid (ceil(sequence / 4), heads, batch), block 128: a lane has one key of 32.
template <typename T>
__device__ __forceinline__ void attention(T* out, float* lse, const T* qkv, int sequence, int heads,
                                          int dimension) {
  __shared__ float kept[WARPS][MOST];
  int warp = threadIdx.x / 32, lane = threadIdx.x % 32;
  int query = (gridDim.x - 1 - blockIdx.x) * WARPS + warp;
  if (query >= sequence) {
    return;  // a whole warp
  }
  Rows<T> rows(qkv, sequence, heads, dimension);
  keepRow(kept[warp], rows.q + query * rows.stride, dimension);
  __syncwarp();
  float scale = 1.0f / sqrtf((float)dimension);
  float sums[MOST / 32] = {};
  float largest = NEGATIVE_INFINITY, total = 0.0f;
  for (int key0 = 0; key0 <= query; key0 += 32) {
    int key = key0 + lane;
    float score = NEGATIVE_INFINITY;
    if (key <= query) {
      score = dot(kept[warp], rows.k + key * rows.stride, dimension) * scale;
    }
    float most = fmaxf(largest, warpMax(score));
    float rescale = expf(largest - most);
    float p = key <= query ? expf(score - most) : 0.0f;
    largest = most;
    total = fmaf(total, rescale, warpSum(p));
#pragma unroll
    for (int i = 0; i < MOST / 32; i++) {
      sums[i] *= rescale;
    }
    int keys = min(32, query + 1 - key0);
    for (int j = 0; j < keys; j++) {
      addRow(sums, __shfl_sync(0xFFFFFFFFu, p, j), rows.v + (key0 + j) * rows.stride, dimension);
    }
  }
  storeRow(out + rows.outOffset + query * rows.outStride, sums, 1.0f / total, dimension);
  if (lane == 0) {
    lse[rows.statistics + query] = largest + logf(total);
  }
}

#define ATTENTION(name, T)                                                                    \
  KERNEL_BOUNDS(128, 2, castalia_attention_plain_##name, (T* out, float* lse, const T* qkv,   \
      int batch, int sequence, int heads, int dimension)) {                                   \
    if (blockIdx.z < (unsigned)batch) {                                                       \
      attention(out, lse, qkv, sequence, heads, dimension);                                   \
    }                                                                                         \
  }
FOR_EACH_TYPE(ATTENTION)

// castalia_attention_plain_queries_T: dQ; castalia_attention_plain_keys_T: dK and dV. Arguments
// (T* dQkv, const T* dOut, const float* lse, const float* delta, const T* qkv, int batch,
// int sequence, int heads, int dimension). Grid and block as castalia_attention_plain_T.
template <typename T>
__device__ __forceinline__ void queryGradients(T* dQkv, const T* dOut, const float* lse,
                                               const float* delta, const T* qkv, int sequence,
                                               int heads, int dimension) {
  __shared__ float kept[WARPS][2][MOST];
  int warp = threadIdx.x / 32, lane = threadIdx.x % 32;
  int query = (gridDim.x - 1 - blockIdx.x) * WARPS + warp;
  if (query >= sequence) {
    return;  // a whole warp
  }
  Rows<T> rows(qkv, sequence, heads, dimension);
  keepRow(kept[warp][0], rows.q + query * rows.stride, dimension);
  keepRow(kept[warp][1], dOut + rows.outOffset + query * rows.outStride, dimension);
  __syncwarp();
  float scale = 1.0f / sqrtf((float)dimension);
  float log = lse[rows.statistics + query];
  float own = delta[rows.statistics + query];
  float sums[MOST / 32] = {};
  for (int key0 = 0; key0 <= query; key0 += 32) {
    int key = key0 + lane;
    float gradient = 0.0f;
    if (key <= query) {
      float score = dot(kept[warp][0], rows.k + key * rows.stride, dimension) * scale;
      float d = dot(kept[warp][1], rows.v + key * rows.stride, dimension);
      gradient = expf(score - log) * (d - own);
    }
    int keys = min(32, query + 1 - key0);
    for (int j = 0; j < keys; j++) {
      float scalar = __shfl_sync(0xFFFFFFFFu, gradient, j);
      addRow(sums, scalar, rows.k + (key0 + j) * rows.stride, dimension);
    }
  }
  storeRow(dQkv + rows.offset + query * rows.stride, sums, scale, dimension);
}

template <typename T>
__device__ __forceinline__ void keyGradients(T* dQkv, const T* dOut, const float* lse,
                                             const float* delta, const T* qkv, int sequence,
                                             int heads, int dimension) {
  __shared__ float kept[WARPS][2][MOST];
  int warp = threadIdx.x / 32, lane = threadIdx.x % 32;
  int key = blockIdx.x * WARPS + warp;
  if (key >= sequence) {
    return;  // a whole warp
  }
  Rows<T> rows(qkv, sequence, heads, dimension);
  const T* dOuts = dOut + rows.outOffset;
  keepRow(kept[warp][0], rows.k + key * rows.stride, dimension);
  keepRow(kept[warp][1], rows.v + key * rows.stride, dimension);
  __syncwarp();
  float scale = 1.0f / sqrtf((float)dimension);
  float dKey[MOST / 32] = {}, dValue[MOST / 32] = {};
  for (int query0 = key; query0 < sequence; query0 += 32) {
    int query = query0 + lane;
    float p = 0.0f, gradient = 0.0f;
    if (query < sequence) {
      float score = dot(kept[warp][0], rows.q + query * rows.stride, dimension) * scale;
      float d = dot(kept[warp][1], dOuts + query * rows.outStride, dimension);
      p = expf(score - lse[rows.statistics + query]);
      gradient = p * (d - delta[rows.statistics + query]);
    }
    int queries = min(32, sequence - query0);
    for (int j = 0; j < queries; j++) {
      float scalar = __shfl_sync(0xFFFFFFFFu, gradient, j);
      float probability = __shfl_sync(0xFFFFFFFFu, p, j);
      addRow(dKey, scalar, rows.q + (query0 + j) * rows.stride, dimension);
      addRow(dValue, probability, dOuts + (query0 + j) * rows.outStride, dimension);
    }
  }
  T* to = dQkv + rows.offset + key * rows.stride;
  storeRow(to + dimension, dKey, scale, dimension);
  storeRow(to + 2 * dimension, dValue, 1.0f, dimension);
}

#define GRADIENTS(name, T)                                                                      \
  KERNEL_BOUNDS(128, 2, castalia_attention_plain_queries_##name, (T* dQkv, const T* dOut,       \
      const float* lse, const float* delta, const T* qkv, int batch, int sequence, int heads,   \
      int dimension)) {                                                                         \
    if (blockIdx.z < (unsigned)batch) {                                                         \
      queryGradients(dQkv, dOut, lse, delta, qkv, sequence, heads, dimension);                  \
    }                                                                                           \
  }                                                                                             \
  KERNEL_BOUNDS(128, 2, castalia_attention_plain_keys_##name, (T* dQkv, const T* dOut,          \
      const float* lse, const float* delta, const T* qkv, int batch, int sequence, int heads,   \
      int dimension)) {                                                                         \
    if (blockIdx.z < (unsigned)batch) {                                                         \
      keyGradients(dQkv, dOut, lse, delta, qkv, sequence, heads, dimension);                    \
    }                                                                                           \
  }
FOR_EACH_TYPE(GRADIENTS)
