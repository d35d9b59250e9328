// Softmax cross-entropy of logits (R, V) F32 that may be one slice of the vocabulary. Logits are read
// twice, for the row's sum and for their gradients, and never written: an exponential costs less than
// its eight bytes. Sums of a row, and of losses, run in a fixed pattern of their blocks' threads.
#include "common.cuh"

#define NEGATIVE_INFINITY __uint_as_float(0xFF800000u)
#define ROW_THREADS 512

// The argument's shift below which exponentials are taken: an infinite maximum of nothing, or of
// masked logits alone, would make NaN of every one.
__device__ __forceinline__ float shiftOf(float largest) {
  return largest == NEGATIVE_INFINITY ? 0.0f : largest;
}

// castalia_softmax_partial_f32(const float* logits, float* max, float* sum, float* target,
// const int* labels, int first, int rows, int vocabulary): every logit is read once. Grid rows,
// block 512. A thread's sum is of exponentials below the maximum of what it has read and is scaled
// where that grows, then once more to the row's; its columns, and so its bits, are a function of the
// width alone.
#define PIECES 4

KERNEL_BOUNDS(ROW_THREADS, 2, castalia_softmax_partial_f32, (const float* logits, float* maxima,
    float* sums, float* target, const int* labels, int first, int rows, int vocabulary)) {
  __shared__ float shared[2][ROW_THREADS / 32];
  i64 r = blockIdx.x;
  if (r >= rows) {
    return;  // the whole block
  }
  const float* row = logits + r * vocabulary;
  bool vector = wide(row);
  int warp = threadIdx.x / 32;
  if (threadIdx.x == 0) {
    i64 label = (i64)labels[r] - first;
    if (label >= 0 && label < vocabulary) {
      target[r] = row[label];
    }
  }
  // A NaN vanishes in the maximum and comes back in an exponential's argument and the sum.
  float largest = NEGATIVE_INFINITY, sum = 0.0f;
  for (int from = 4 * threadIdx.x; from < vocabulary; from += 4 * PIECES * ROW_THREADS) {
    float x[PIECES][4];
    float most = largest;
#pragma unroll
    for (int p = 0; p < PIECES; p++) {
      load<4>(x[p], row, from + p * 4 * ROW_THREADS, vocabulary, vector);
    }
#pragma unroll
    for (int p = 0; p < PIECES; p++) {
#pragma unroll
      for (int i = 0; i < 4; i++) {
        x[p][i] = from + p * 4 * ROW_THREADS + i < vocabulary ? x[p][i] : NEGATIVE_INFINITY;
        most = fmaxf(most, x[p][i]);
      }
    }
    float shift = shiftOf(most);
    sum *= expf(largest - shift);
    largest = most;
#pragma unroll
    for (int p = 0; p < PIECES; p++) {
#pragma unroll
      for (int i = 0; i < 4; i++) {
        sum += expf(x[p][i] - shift);
      }
    }
  }
  float own = largest;
  largest = warpMax(largest);
  if (threadIdx.x % 32 == 0) {
    shared[0][warp] = largest;
  }
  __syncthreads();
  largest = shared[0][0];
  for (int i = 1; i < ROW_THREADS / 32; i++) {
    largest = fmaxf(largest, shared[0][i]);
  }
  sum = warpSum(sum * expf(own - shiftOf(largest)));
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

// castalia_softmax_join_f32(double* losses, {float*}[128] factor, {float*}[128] max,
// {float*}[128] sum, int parts, const float* target, int rows): factor[s] = exp(max_s - max) / sum;
// losses[b], of rows 256 b and on, is the sum of log(sum) + max - target. Grid ceil(rows / 256),
// block 256.
// castalia_sum_losses_f64(double* loss, const double* losses, int count): *loss is their sum; a thread
// adds every 256th, ascending. Grid 1, block 256.
#define PARTS 128
#define LEVELS 7
typedef Buffers<float, PARTS> Written;
typedef Buffers<const float, PARTS> Read;

// The sum of a block's 256 values, by halves; only thread 0's answer counts.
__device__ __forceinline__ double blockSum(double value) {
  __shared__ double values[256];
  values[threadIdx.x] = value;
  for (int width = 128; width > 0; width /= 2) {
    __syncthreads();
    if (threadIdx.x < width) {
      values[threadIdx.x] += values[threadIdx.x + width];
    }
  }
  return values[0];
}

KERNEL(castalia_softmax_join_f32, (double* losses, BY_VALUE(Written) factor,
    BY_VALUE(Read) maxima,
    BY_VALUE(Read) sums, int parts, const float* target, int rows)) {
  int r = blockIdx.x * 256 + threadIdx.x;
  double loss = 0.0;
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
    loss = log((double)sum) + (double)largest - (double)target[r];
  }
  loss = blockSum(loss);
  if (threadIdx.x == 0) {
    losses[blockIdx.x] = loss;
  }
}

KERNEL(castalia_sum_losses_f64, (double* loss, const double* losses, int count)) {
  double sum = 0.0;
  for (int i = threadIdx.x; i < count; i += 256) {
    sum += losses[i];
  }
  sum = blockSum(sum);
  if (threadIdx.x == 0) {
    *loss = sum;
  }
}

// castalia_softmax_gradient_T(T* dLogits, const float* logits, const float* max,
// const float* factor, const int* labels, float scale, int first, int rows, int vocabulary):
// (exp(logit - max) * factor - [column is the label]) * scale, rounded once; may be in place where T
// is float. Grid (rows, min(ceil(vocabulary / 2048), 65535)), block 256.
template <typename T>
__device__ __forceinline__ void gradient(T* dLogits, const float* logits,
                                         const float* maxima, const float* factor,
                                         const int* labels, float scale, int first, int rows,
                                         int vocabulary) {
  i64 r = blockIdx.x;
  if (r >= rows) {
    return;
  }
  const float* from = logits + r * vocabulary;
  T* to = dLogits + r * vocabulary;
  bool vector = wide(from) && wide(to);
  i64 label = (i64)labels[r] - first;
  float largest = maxima[r];
  float own = factor[r];
  for (i64 c = 8 * (i64)(blockIdx.y * blockDim.x + threadIdx.x); c < vocabulary;
      c += 8 * (i64)gridDim.y * blockDim.x) {
    float x[8];
    load8(x, from, c, vocabulary, vector);
#pragma unroll
    for (int i = 0; i < 8; i++) {
      x[i] = (expf(x[i] - largest) * own - (c + i == label ? 1.0f : 0.0f)) * scale;
    }
    store8(to, x, c, vocabulary, vector);
  }
}

#define GRADIENT(name, T)                                                                         \
  KERNEL(castalia_softmax_gradient_##name, (T* dLogits, const float* logits,                      \
      const float* maxima, const float* factor, const int* labels, float scale, int first,        \
      int rows, int vocabulary)) {                                                                \
    gradient(dLogits, logits, maxima, factor, labels, scale, first, rows, vocabulary);            \
  }
FOR_EACH_TYPE(GRADIENT)
