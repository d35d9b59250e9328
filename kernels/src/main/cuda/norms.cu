// Layer norms of one or two sets of parameters over the same rows, forward and backward, and column
// sums. Rows are summed by the threads of a row in a fixed pattern, columns by groups of 128 rows
// that are folded in ascending order: no atomics, and no dependence on the number of rows.
#include "common.cuh"

#define ROW_GROUP 128

// A row of up to GROUP * 32 columns is held by GROUP threads, a warp or a block of 256: thread t has
// the pieces of 8 columns t, t + GROUP, ...
#define PIECES 4

template <int GROUP>
__device__ __forceinline__ float rowSum(float x) {
  x = warpSum(x);
  if (GROUP > 32) {
    __shared__ float sums[GROUP / 32];
    __syncthreads();  // an earlier sum was read
    if (threadIdx.x % 32 == 0) {
      sums[threadIdx.x / 32] = x;
    }
    __syncthreads();
    x = sums[0];
#pragma unroll
    for (int i = 1; i < GROUP / 32; i++) {
      x += sums[i];
    }
  }
  return x;
}

// castalia_layer_norm_T(T* out, float* mean, float* rstd, const T* x, const T* weight,
// const T* bias, float epsilon, int rows, int columns)
// castalia_layer_norm_double_T(T* out1, T* out2, float* mean, float* rstd, const T* x,
// const T* weight1, const T* bias1, const T* weight2, const T* bias2, float epsilon, int rows,
// int columns)
// and, with the same arguments, castalia_layer_norm_wide_T and castalia_layer_norm_double_wide_T.
// Up to 1024 columns: grid ceil(rows / 4), block 128. From 1025 to 8192 the wide ones: grid rows,
// block 256.
template <typename T>
__device__ __forceinline__ void normalize(T* out, const float* normal, const T* weight,
                                          const T* bias, i64 row, int column, int columns,
                                          bool vector) {
  float w[8], b[8], y[8];
  load8(w, weight, column, columns, vector);
  load8(b, bias, column, columns, vector);
#pragma unroll
  for (int i = 0; i < 8; i++) {
    y[i] = fmaf(normal[i], w[i], b[i]);
  }
  store8(out + row * columns, y, column, columns, vector);
}

template <typename T, int GROUP, bool TWO>
__device__ __forceinline__ void layerNorm(T* out1, T* out2, float* mean, float* rstd, const T* x,
                                          const T* weight1, const T* bias1, const T* weight2,
                                          const T* bias2, float epsilon, int rows, int columns) {
  i64 row = GROUP == 32 ? (i64)blockIdx.x * 4 + threadIdx.x / 32 : (i64)blockIdx.x;
  if (row >= rows) {
    return;  // a whole warp
  }
  int thread = threadIdx.x % GROUP;
  bool vector = columns % 8 == 0 && wide(x) && wide(out1) && wide(weight1) && wide(bias1);
  if (TWO) {
    vector = vector && wide(out2) && wide(weight2) && wide(bias2);
  }
  float values[PIECES][8];
  float sum = 0.0f;
#pragma unroll
  for (int p = 0; p < PIECES; p++) {
    int column = 8 * (thread + p * GROUP);
    if (column < columns) {
      load8(values[p], x + row * columns, column, columns, vector);
#pragma unroll
      for (int i = 0; i < 8; i++) {
        sum += values[p][i];
      }
    }
  }
  float average = rowSum<GROUP>(sum) / (float)columns;
  sum = 0.0f;
#pragma unroll
  for (int p = 0; p < PIECES; p++) {
    int column = 8 * (thread + p * GROUP);
    if (column < columns) {
#pragma unroll
      for (int i = 0; i < 8; i++) {
        values[p][i] = column + i < columns ? values[p][i] - average : 0.0f;
        sum = fmaf(values[p][i], values[p][i], sum);
      }
    }
  }
  float scale = 1.0f / sqrtf(rowSum<GROUP>(sum) / (float)columns + epsilon);
#pragma unroll
  for (int p = 0; p < PIECES; p++) {
    int column = 8 * (thread + p * GROUP);
    if (column < columns) {
#pragma unroll
      for (int i = 0; i < 8; i++) {
        values[p][i] = values[p][i] * scale;
      }
      normalize(out1, values[p], weight1, bias1, row, column, columns, vector);
      if (TWO) {
        normalize(out2, values[p], weight2, bias2, row, column, columns, vector);
      }
    }
  }
  if (thread == 0) {
    mean[row] = average;
    rstd[row] = scale;
  }
}

#define ONE_NORM(suffix, group, threads, T)                                                       \
  KERNEL_BOUNDS(threads, 2, castalia_layer_norm_##suffix, (T* out, float* mean, float* rstd,      \
      const T* x, const T* weight, const T* bias, float epsilon, int rows, int columns)) {        \
    layerNorm<T, group, false>(out, nullptr, mean, rstd, x, weight, bias, nullptr, nullptr,       \
        epsilon, rows, columns);                                                                  \
  }
#define TWO_NORMS(suffix, group, threads, T)                                                      \
  KERNEL_BOUNDS(threads, 2, castalia_layer_norm_double_##suffix, (T* out1, T* out2, float* mean,  \
      float* rstd, const T* x, const T* weight1, const T* bias1, const T* weight2,                \
      const T* bias2, float epsilon, int rows, int columns)) {                                    \
    layerNorm<T, group, true>(out1, out2, mean, rstd, x, weight1, bias1, weight2, bias2, epsilon, \
        rows, columns);                                                                           \
  }
#define NORMS(name, T)              \
  ONE_NORM(name, 32, 128, T)        \
  ONE_NORM(wide_##name, 256, 256, T) \
  TWO_NORMS(name, 32, 128, T)       \
  TWO_NORMS(wide_##name, 256, 256, T)
FOR_EACH_TYPE(NORMS)

// --- Gradient of the input -----------------------------------------------------------------------

// castalia_layer_norm_input_T(T* dx, const T* dResidual or null, const T* dOut, const T* x,
// const float* mean, const float* rstd, const T* weight, int rows, int columns)
// castalia_layer_norm_double_input_T(T* dx, const T* dResidual, const T* dOut1, const T* dOut2,
// const T* x, const float* mean, const float* rstd, const T* weight1, const T* weight2, int rows,
// int columns)
// and the wide ones (castalia_layer_norm_input_wide_T, castalia_layer_norm_double_input_wide_T);
// grids as forward. dx may be dResidual.
template <typename T, int GROUP, bool TWO>
__device__ __forceinline__ void layerNormInput(T* dx, const T* dResidual, const T* dOut1,
                                               const T* dOut2, const T* x, const float* mean,
                                               const float* rstd, const T* weight1,
                                               const T* weight2, int rows, int columns) {
  i64 row = GROUP == 32 ? (i64)blockIdx.x * 4 + threadIdx.x / 32 : (i64)blockIdx.x;
  if (row >= rows) {
    return;  // a whole warp
  }
  int thread = threadIdx.x % GROUP;
  bool vector = columns % 8 == 0 && wide(dx) && wide(dOut1) && wide(x) && wide(weight1)
      && (dResidual == nullptr || wide(dResidual));
  if (TWO) {
    vector = vector && wide(dOut2) && wide(weight2);
  }
  float average = mean[row];
  float scale = rstd[row];
  float gradients[PIECES][8], normals[PIECES][8];
  float gradient = 0.0f, projection = 0.0f;
#pragma unroll
  for (int p = 0; p < PIECES; p++) {
    int column = 8 * (thread + p * GROUP);
    if (column < columns) {
      float d[8], w[8];
      load8(normals[p], x + row * columns, column, columns, vector);
      load8(d, dOut1 + row * columns, column, columns, vector);
      load8(w, weight1, column, columns, vector);
#pragma unroll
      for (int i = 0; i < 8; i++) {
        gradients[p][i] = d[i] * w[i];
      }
      if (TWO) {
        load8(d, dOut2 + row * columns, column, columns, vector);
        load8(w, weight2, column, columns, vector);
#pragma unroll
        for (int i = 0; i < 8; i++) {
          gradients[p][i] = fmaf(d[i], w[i], gradients[p][i]);
        }
      }
#pragma unroll
      for (int i = 0; i < 8; i++) {
        normals[p][i] = column + i < columns ? (normals[p][i] - average) * scale : 0.0f;
        gradient += gradients[p][i];
        projection = fmaf(gradients[p][i], normals[p][i], projection);
      }
    }
  }
  gradient = rowSum<GROUP>(gradient) / (float)columns;
  projection = rowSum<GROUP>(projection) / (float)columns;
#pragma unroll
  for (int p = 0; p < PIECES; p++) {
    int column = 8 * (thread + p * GROUP);
    if (column < columns) {
      float y[8];
      if (dResidual != nullptr) {
        load8(y, dResidual + row * columns, column, columns, vector);
      } else {
#pragma unroll
        for (int i = 0; i < 8; i++) {
          y[i] = 0.0f;
        }
      }
#pragma unroll
      for (int i = 0; i < 8; i++) {
        float own = fmaf(-normals[p][i], projection, gradients[p][i] - gradient);
        y[i] = fmaf(scale, own, y[i]);
      }
      store8(dx + row * columns, y, column, columns, vector);
    }
  }
}

#define ONE_INPUT(suffix, group, threads, T)                                                      \
  KERNEL_BOUNDS(threads, 2, castalia_layer_norm_input_##suffix, (T* dx, const T* dResidual,       \
      const T* dOut, const T* x, const float* mean, const float* rstd, const T* weight, int rows, \
      int columns)) {                                                                             \
    layerNormInput<T, group, false>(dx, dResidual, dOut, nullptr, x, mean, rstd, weight, nullptr, \
        rows, columns);                                                                           \
  }
#define TWO_INPUTS(suffix, group, threads, T)                                                     \
  KERNEL_BOUNDS(threads, 2, castalia_layer_norm_double_input_##suffix, (T* dx,                    \
      const T* dResidual, const T* dOut1, const T* dOut2, const T* x, const float* mean,          \
      const float* rstd, const T* weight1, const T* weight2, int rows, int columns)) {            \
    layerNormInput<T, group, true>(dx, dResidual, dOut1, dOut2, x, mean, rstd, weight1, weight2,  \
        rows, columns);                                                                           \
  }
#define INPUTS(name, T)               \
  ONE_INPUT(name, 32, 128, T)         \
  ONE_INPUT(wide_##name, 256, 256, T) \
  TWO_INPUTS(name, 32, 128, T)        \
  TWO_INPUTS(wide_##name, 256, 256, T)
FOR_EACH_TYPE(INPUTS)

// --- Sums over rows ------------------------------------------------------------------------------

// The first of two stages; the second is castalia_fold_groups_f32. partials (K, groups, C) with
// groups = ceil(rows / 128): a thread sums two columns of one group, rows ascending. Grid
// (ceil(columns / 128), groups), block 64.
//
// castalia_bias_groups_T(float* partials, const T* dOut, int rows, int columns): K = 1.
// castalia_layer_norm_groups_T(float* partials, const T* dOut, const T* x, const float* mean,
// const float* rstd, int rows, int columns): K = 2: weight, bias.
// castalia_layer_norm_double_groups_T(float* partials, const T* dOut1, const T* dOut2, const T* x,
// const float* mean, const float* rstd, int rows, int columns): K = 4: weight1, bias1, weight2,
// bias2.
template <typename T>
struct alignas(2 * sizeof(T)) Two {
  T at[2];
};

template <typename T>
__device__ __forceinline__ void load2(float* to, const T* x, bool vector, bool second) {
  if (vector) {
    Two<T> two = *(const Two<T>*)x;
    to[0] = widen(two.at[0]);
    to[1] = widen(two.at[1]);
  } else {
    to[0] = widen(x[0]);
    to[1] = second ? widen(x[1]) : 0.0f;
  }
}

template <typename T>
__device__ __forceinline__ bool even(const T* x) {
  return ((u64)x & (2 * sizeof(T) - 1)) == 0;
}

template <typename T, int NORMS>
__device__ __forceinline__ void groups(float* partials, const T* dOut1, const T* dOut2, const T* x,
                                       const float* mean, const float* rstd, int rows,
                                       int columns) {
  int column = 2 * (blockIdx.x * blockDim.x + threadIdx.x);
  if (column >= columns) {
    return;
  }
  bool second = column + 1 < columns;
  bool vector = columns % 2 == 0 && even(dOut1);
  if (NORMS > 0) {
    vector = vector && even(x);
  }
  if (NORMS > 1) {
    vector = vector && even(dOut2);
  }
  i64 from = (i64)blockIdx.y * ROW_GROUP;
  i64 end = min(from + ROW_GROUP, (i64)rows);
  const int sums = NORMS == 0 ? 1 : 2 * NORMS;
  float sum[sums][2];
#pragma unroll
  for (int k = 0; k < sums; k++) {
    sum[k][0] = sum[k][1] = 0.0f;
  }
#pragma unroll 8
  for (i64 r = from; r < end; r++) {
    i64 at = r * columns + column;
    float d[2];
    load2(d, dOut1 + at, vector, second);
    if (NORMS == 0) {
      sum[0][0] += d[0];
      sum[0][1] += d[1];
    } else {
      float normal[2];
      load2(normal, x + at, vector, second);
      float average = mean[r], scale = rstd[r];
      normal[0] = (normal[0] - average) * scale;
      normal[1] = (normal[1] - average) * scale;
#pragma unroll
      for (int norm = 0; norm < NORMS; norm++) {
        if (norm == 1) {
          load2(d, dOut2 + at, vector, second);
        }
#pragma unroll
        for (int i = 0; i < 2; i++) {
          sum[(2 * norm) % sums][i] = fmaf(d[i], normal[i], sum[(2 * norm) % sums][i]);
          sum[(2 * norm + 1) % sums][i] += d[i];
        }
      }
    }
  }
#pragma unroll
  for (int k = 0; k < sums; k++) {
    float* to = partials + ((i64)k * gridDim.y + blockIdx.y) * columns + column;
    to[0] = sum[k][0];
    if (second) {
      to[1] = sum[k][1];
    }
  }
}

#define GROUPS(name, T)                                                                           \
  KERNEL(castalia_bias_groups_##name, (float* partials, const T* dOut, int rows, int columns)) {  \
    groups<T, 0>(partials, dOut, nullptr, nullptr, nullptr, nullptr, rows, columns);              \
  }                                                                                               \
  KERNEL(castalia_layer_norm_groups_##name, (float* partials, const T* dOut, const T* x,          \
      const float* mean, const float* rstd, int rows, int columns)) {                             \
    groups<T, 1>(partials, dOut, nullptr, x, mean, rstd, rows, columns);                          \
  }                                                                                               \
  KERNEL(castalia_layer_norm_double_groups_##name, (float* partials, const T* dOut1,              \
      const T* dOut2, const T* x, const float* mean, const float* rstd, int rows, int columns)) { \
    groups<T, 2>(partials, dOut1, dOut2, x, mean, rstd, rows, columns);                           \
  }
FOR_EACH_TYPE(GROUPS)

// castalia_fold_groups_f32(float* out0, float* out1, float* out2, float* out3,
// const float* partials, int groups, int columns, int accumulate): out_k (C) = sum over groups,
// ascending, of partials (K, groups, C), or that sum added to what is there. Grid
// (ceil(columns / 128), K), block 128.
KERNEL(castalia_fold_groups_f32, (float* out0, float* out1, float* out2, float* out3,
    const float* partials, int groups, int columns, int accumulate)) {
  int column = blockIdx.x * blockDim.x + threadIdx.x;
  if (column >= columns) {
    return;
  }
  float* out = blockIdx.y == 0 ? out0 : blockIdx.y == 1 ? out1 : blockIdx.y == 2 ? out2 : out3;
  const float* from = partials + (i64)blockIdx.y * groups * columns + column;
  float sum = from[0];
#pragma unroll 32
  for (int group = 1; group < groups; group++) {
    sum += from[(i64)group * columns];
  }
  out[column] = accumulate ? out[column] + sum : sum;
}
