// Softmax cross-entropy of logits (R, V) F32 that may be one slice of the vocabulary. Sums of a row
// run in a fixed pattern of its block's threads; losses are summed in fp64 over rows, ascending.
#include "common.cuh"

#define NEGATIVE_INFINITY __uint_as_float(0xFF800000u)
#define ROW_THREADS 512

// castalia_softmax_partial_f32(float* logits, float* max, float* sum, float* target,
// const int* labels, int first, int rows, int vocabulary): logits become exp(logit - max) in place.
// Grid rows, block 512.
KERNEL_BOUNDS(ROW_THREADS, 2, castalia_softmax_partial_f32, (float* logits, float* maxima,
    float* sums, float* target, const int* labels, int first, int rows, int vocabulary)) {
  __shared__ float shared[2][ROW_THREADS / 32];
  i64 r = blockIdx.x;
  if (r >= rows) {
    return;  // the whole block
  }
  float* row = logits + r * vocabulary;
  bool vector = wide(row);
  int warp = threadIdx.x / 32;
  if (threadIdx.x == 0) {
    i64 label = (i64)labels[r] - first;
    if (label >= 0 && label < vocabulary) {
      target[r] = row[label];
    }
  }
  // A NaN vanishes in the maximum and comes back in every exponential's argument and the sum.
  float largest = NEGATIVE_INFINITY;
#pragma unroll 4
  for (int c = 4 * threadIdx.x; c < vocabulary; c += 4 * ROW_THREADS) {
    float x[4];
    load<4>(x, row, c, vocabulary, vector);
#pragma unroll
    for (int i = 0; i < 4; i++) {
      largest = c + i < vocabulary ? fmaxf(largest, x[i]) : largest;
    }
  }
  largest = warpMax(largest);
  if (threadIdx.x % 32 == 0) {
    shared[0][warp] = largest;
  }
  __syncthreads();  // also: the target was read before its row is overwritten
  largest = shared[0][0];
  for (int i = 1; i < ROW_THREADS / 32; i++) {
    largest = fmaxf(largest, shared[0][i]);
  }
  float sum = 0.0f;
#pragma unroll 4
  for (int c = 4 * threadIdx.x; c < vocabulary; c += 4 * ROW_THREADS) {
    float x[4];
    load<4>(x, row, c, vocabulary, vector);
#pragma unroll
    for (int i = 0; i < 4; i++) {
      x[i] = c + i < vocabulary ? expf(x[i] - largest) : 0.0f;
      sum += x[i];
    }
    store<4>(row, x, c, vocabulary, vector);
  }
  sum = warpSum(sum);
  if (threadIdx.x % 32 == 0) {
    shared[1][warp] = sum;
  }
  __syncthreads();
  if (threadIdx.x == 0) {
    sum = shared[1][0];
    for (int i = 1; i < ROW_THREADS / 32; i++) {
      sum += shared[1][i];
    }
    maxima[r] = largest;
    sums[r] = sum;
  }
}

// castalia_softmax_join_f32(double* loss, {float*}[128] factor, {float*}[128] max,
// {float*}[128] sum, int parts, const float* target, int rows): factor[s] = exp(max_s - max) / sum;
// *loss is the sum over rows, ascending, of log(sum) + max - target. Grid 1, block 256.
#define PARTS 128
#define LEVELS 7
typedef Buffers<float, PARTS> Written;
typedef Buffers<const float, PARTS> Read;

KERNEL(castalia_softmax_join_f32, (double* loss, BY_VALUE(Written) factor,
    BY_VALUE(Read) maxima,
    BY_VALUE(Read) sums, int parts, const float* target, int rows)) {
  __shared__ double losses[256];
  double total = 0.0;
  for (int from = 0; from < rows; from += 256) {
    int r = from + threadIdx.x;
    if (r < rows) {
      float largest = NEGATIVE_INFINITY;
      for (int s = 0; s < parts; s++) {
        largest = fmaxf(largest, maxima.at[s][r]);
      }
      // The canonical tree: complete subtrees wait until their neighbour is there.
      float ladder[LEVELS];
      float sum = 0.0f;
      for (int k = 1; k <= parts; k++) {
        sum = expf(maxima.at[k - 1][r] - largest) * sums.at[k - 1][r];
#pragma unroll
        for (int level = 0; level < LEVELS; level++) {
          bool merges = (k & ((2 << level) - 1)) == 0;
          bool waits = (k & ((1 << level) - 1)) == 0 && !merges;
          sum = merges ? ladder[level] + sum : sum;
          ladder[level] = waits ? sum : ladder[level];
        }
      }
      // What is left over, the smallest first. All 128 leave nothing: they are in sum already.
      bool any = parts == PARTS;
#pragma unroll
      for (int level = 0; level < LEVELS; level++) {
        if (parts >> level & 1) {
          sum = any ? ladder[level] + sum : ladder[level];
          any = true;
        }
      }
      for (int s = 0; s < parts; s++) {
        factor.at[s][r] = expf(maxima.at[s][r] - largest) / sum;
      }
      losses[threadIdx.x] = log((double)sum) + (double)largest - (double)target[r];
    }
    __syncthreads();
    if (threadIdx.x == 0) {
      for (int i = 0; i < 256 && from + i < rows; i++) {
        total += losses[i];
      }
    }
    __syncthreads();
  }
  if (threadIdx.x == 0) {
    *loss = total;
  }
}

// castalia_softmax_gradient_T(T* dLogits, const float* exponentials, const float* factor,
// const int* labels, float scale, int first, int rows, int vocabulary):
// (exponentials * factor - [column is the label]) * scale, rounded once; may be in place where T is
// float. Grid (rows, min(ceil(vocabulary / 2048), 65535)), block 256.
template <typename T>
__device__ __forceinline__ void gradient(T* dLogits, const float* exponentials,
                                         const float* factor, const int* labels, float scale,
                                         int first, int rows, int vocabulary) {
  i64 r = blockIdx.x;
  if (r >= rows) {
    return;
  }
  const float* from = exponentials + r * vocabulary;
  T* to = dLogits + r * vocabulary;
  bool vector = wide(from) && wide(to);
  i64 label = (i64)labels[r] - first;
  float own = factor[r];
  for (i64 c = 8 * (i64)(blockIdx.y * blockDim.x + threadIdx.x); c < vocabulary;
      c += 8 * (i64)gridDim.y * blockDim.x) {
    float x[8];
    load8(x, from, c, vocabulary, vector);
#pragma unroll
    for (int i = 0; i < 8; i++) {
      x[i] = (x[i] * own - (c + i == label ? 1.0f : 0.0f)) * scale;
    }
    store8(to, x, c, vocabulary, vector);
  }
}

#define GRADIENT(name, T)                                                                         \
  KERNEL(castalia_softmax_gradient_##name, (T* dLogits, const float* exponentials,                \
      const float* factor, const int* labels, float scale, int first, int rows, int vocabulary)) { \
    gradient(dLogits, exponentials, factor, labels, scale, first, rows, vocabulary);              \
  }
FOR_EACH_TYPE(GRADIENT)
