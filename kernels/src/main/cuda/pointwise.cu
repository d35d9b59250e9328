// Operations without sums over rows or columns. Grid of every kernel here, unless it says
// otherwise: pieces(count) blocks of 256 threads with pieces(n) = min(max(1, ceil(n / 2048)), 8192),
// no shared memory; any smaller or larger grid gives the same bits.
#include "common.cuh"

// castalia_fill_T(T* out, float value, i64 count): value is rounded once.
#define FILL(name, T)                                                           \
  KERNEL(castalia_fill_##name, (T* out, float value, i64 count)) {              \
    float values[8];                                                            \
    _Pragma("unroll") for (int i = 0; i < 8; i++) { values[i] = value; }        \
    bool vector = wide(out);                                                    \
    for (i64 at = first8(); at < count; at += step8()) {                        \
      store8(out, values, at, count, vector);                                   \
    }                                                                           \
  }
FOR_EACH_TYPE(FILL)

// castalia_add_f32(float* out, const float* x, i64 count): out += x.
KERNEL(castalia_add_f32, (float* out, const float* x, i64 count)) {
  bool vector = wide(out) && wide(x);
#pragma unroll 2
  for (i64 at = first4(); at < count; at += step4()) {
    float sum[4], other[4];
    load<4>(sum, out, at, count, vector);
    load<4>(other, x, at, count, vector);
#pragma unroll
    for (int i = 0; i < 4; i++) {
      sum[i] = sum[i] + other[i];
    }
    store<4>(out, sum, at, count, vector);
  }
}

// castalia_cast_A_B(A* out, const B* x, i64 count): out = x, rounded to nearest even. Equal types
// are copied bit for bit.
template <typename A, typename B>
__device__ __forceinline__ void castTo(A* out, const B* x, i64 count) {
  bool vector = wide(out) && wide(x);
  for (i64 at = first8(); at < count; at += step8()) {
    float values[8];
    load8(values, x, at, count, vector);
    store8(out, values, at, count, vector);
  }
}

template <typename T>
__device__ __forceinline__ void copyTo(T* out, const T* x, i64 count) {
  bool vector = wide(out) && wide(x);
  for (i64 at = first8(); at < count; at += step8()) {
    if (vector && at + 8 <= count) {
      *(Eight<T>*)(out + at) = *(const Eight<T>*)(x + at);
    } else {
      for (i64 i = at; i < at + 8 && i < count; i++) {
        out[i] = x[i];
      }
    }
  }
}

KERNEL(castalia_cast_f32_f32, (float* out, const float* x, i64 count)) { copyTo(out, x, count); }
KERNEL(castalia_cast_bf16_bf16, (bf16* out, const bf16* x, i64 count)) { copyTo(out, x, count); }
KERNEL(castalia_cast_f16_f16, (f16* out, const f16* x, i64 count)) { copyTo(out, x, count); }
KERNEL(castalia_cast_f32_bf16, (float* out, const bf16* x, i64 count)) { castTo(out, x, count); }
KERNEL(castalia_cast_f32_f16, (float* out, const f16* x, i64 count)) { castTo(out, x, count); }
KERNEL(castalia_cast_bf16_f32, (bf16* out, const float* x, i64 count)) { castTo(out, x, count); }
KERNEL(castalia_cast_bf16_f16, (bf16* out, const f16* x, i64 count)) { castTo(out, x, count); }
KERNEL(castalia_cast_f16_f32, (f16* out, const float* x, i64 count)) { castTo(out, x, count); }
KERNEL(castalia_cast_f16_bf16, (f16* out, const bf16* x, i64 count)) { castTo(out, x, count); }

// The terms of out += tree(partials): at[0..n) of 8 elements, summed by the canonical tree.
__device__ __forceinline__ void treeOf(float* sum, const Buffers<const float>& partials, int n,
                                       i64 at, i64 count, bool vector) {
  load8(sum, partials.at[0], at, count, vector);
  if (n == 1) {
    return;
  }
  // Complete subtrees of 1, 2, 4, 8 partials wait on a ladder until their neighbour is there.
  float ladder[4][8];
  for (int k = 1; k <= n; k++) {
    // sum holds partial k - 1; merge it with every subtree it completes.
#pragma unroll
    for (int level = 0; level < 4; level++) {
      bool merges = (k & ((2 << level) - 1)) == 0;
      bool waits = (k & ((1 << level) - 1)) == 0 && !merges;
#pragma unroll
      for (int i = 0; i < 8; i++) {
        if (merges) {
          sum[i] = ladder[level][i] + sum[i];
        } else if (waits) {
          ladder[level][i] = sum[i];
        }
      }
    }
    if (k < n) {
      load8(sum, partials.at[k], at, count, vector);
    }
  }
  // What is left over, the smallest first. A full 16 leaves nothing: it is in sum already.
  bool any = false;
#pragma unroll
  for (int level = 0; level < 4; level++) {
    if (n >> level & 1) {
#pragma unroll
      for (int i = 0; i < 8; i++) {
        sum[i] = any ? ladder[level][i] + sum[i] : ladder[level][i];
      }
      any = true;
    }
  }
}

__device__ __forceinline__ bool allWide(const Buffers<const float>& partials, int n) {
  bool vector = true;
  for (int t = 0; t < n; t++) {
    vector = vector && wide(partials.at[t]);
  }
  return vector;
}

// castalia_sum_partials_T(T* out, {float*}[16] partials, int n, i64 count): out = tree(partials),
// rounded once; out may be one of the partials.
#define SUM_PARTIALS(name, T)                                                                     \
  KERNEL(castalia_sum_partials_##name, (T* out,                                                  \
      BY_VALUE(Buffers<const float>) partials, int n, i64 count)) {                               \
    bool vector = wide(out) && allWide(partials, n);                                              \
    for (i64 at = first8(); at < count; at += step8()) {                                          \
      float sum[8];                                                                               \
      treeOf(sum, partials, n, at, count, vector);                                                \
      store8(out, sum, at, count, vector);                                                        \
    }                                                                                             \
  }
FOR_EACH_TYPE(SUM_PARTIALS)

// castalia_residual_T(T* out, const T* x, {float*}[16] partials, int n, const T* bias1,
// const T* bias2 or null, int copies, int rows, int columns): out = round(x + (tree(partials)
// + (copies bias1 + copies bias2))); out may be x. Grid pieces(rows * columns).
// castalia_residual_one_T(the same): for n = 1, where the tree would keep registers from more threads.
template <typename T>
__device__ __forceinline__ void loadBias(float* to, const T* bias, int column, int columns,
                                         bool sameRow) {
  if (sameRow) {
    load8(to, bias, column, columns, true);
  } else {
#pragma unroll
    for (int i = 0; i < 8; i++) {
      to[i] = widen(bias[column]);
      column = column + 1 == columns ? 0 : column + 1;
    }
  }
}

template <typename T, bool ONE>
__device__ __forceinline__ void residual(T* out, const T* x, const Buffers<const float>& partials,
                                         int n, const T* bias1, const T* bias2, int copies,
                                         int rows, int columns) {
  i64 count = (i64)rows * columns;
  bool vector = wide(out) && wide(x) && allWide(partials, ONE ? 1 : n);
  float factor = (float)copies;
  bool sameRow = columns % 8 == 0 && wide(bias1) && (bias2 == nullptr || wide(bias2));
  for (i64 at = first8(); at < count; at += step8()) {
    float sum[8], old[8];
    if (ONE) {
      load8(sum, partials.at[0], at, count, vector);
    } else {
      treeOf(sum, partials, n, at, count, vector);
    }
    load8(old, x, at, count, vector);
    // A division of 64-bit numbers takes several times as long.
    int column = count < 0x80000000ll ? (int)((unsigned)at % (unsigned)columns) : (int)(at % columns);
    float first[8], second[8];
    loadBias(first, bias1, column, columns, sameRow);
    if (bias2 != nullptr) {
      loadBias(second, bias2, column, columns, sameRow);
    }
#pragma unroll
    for (int i = 0; i < 8; i++) {
      float biases = factor * first[i];
      if (bias2 != nullptr) {
        biases = biases + factor * second[i];
      }
      sum[i] = old[i] + (sum[i] + biases);
    }
    store8(out, sum, at, count, vector);
  }
}

#define RESIDUAL(name, T)                                                                         \
  KERNEL(castalia_residual_##name, (T* out, const T* x,                                          \
      BY_VALUE(Buffers<const float>) partials, int n, const T* bias1, const T* bias2, int copies, \
      int rows, int columns)) {                                                                   \
    residual<T, false>(out, x, partials, n, bias1, bias2, copies, rows, columns);                 \
  }                                                                                               \
  KERNEL(castalia_residual_one_##name, (T* out, const T* x,                                      \
      BY_VALUE(Buffers<const float>) partials, int n, const T* bias1, const T* bias2, int copies, \
      int rows, int columns)) {                                                                   \
    residual<T, true>(out, x, partials, n, bias1, bias2, copies, rows, columns);                  \
  }
FOR_EACH_TYPE(RESIDUAL)

// castalia_add_bias_T(float* out, const T* bias, int rows, int columns, int stride):
// out[r * stride + c] += bias[c]. Grid (min(rows, 65535), ceil(columns / 256)).
#define ADD_BIAS(name, T)                                                                         \
  KERNEL(castalia_add_bias_##name, (float* out, const T* bias, int rows, int columns, int stride)) { \
    int column = blockIdx.y * blockDim.x + threadIdx.x;                                           \
    if (column < columns) {                                                                       \
      float added = widen(bias[column]);                                                          \
      for (i64 row = blockIdx.x; row < rows; row += gridDim.x) {                                  \
        out[row * stride + column] = out[row * stride + column] + added;                          \
      }                                                                                           \
    }                                                                                             \
  }
FOR_EACH_TYPE(ADD_BIAS)

// --- GELU ----------------------------------------------------------------------------------------

// x Phi(x), Phi the normal distribution; or x / (1 + exp(-2u)), u = sqrt(2/pi) (x + 0.044715 x^3).
#define ROOT_HALF 0.70710678118654752f
#define ROOT_TWO_OVER_PI 0.79788456080286536f
#define CUBIC 0.044715f

__device__ __forceinline__ float normalDistribution(float x) {
  float tail = 0.5f * erfcf(fabsf(x) * ROOT_HALF);
  return x < 0.0f ? tail : 1.0f - tail;
}

__device__ __forceinline__ float tanhStep(float x) {
  float u = ROOT_TWO_OVER_PI * fmaf(CUBIC * x * x, x, x);
  return 1.0f / (1.0f + expf(-2.0f * u));
}

__device__ __forceinline__ float gelu(float x, bool tanh) {
  return x * (tanh ? tanhStep(x) : normalDistribution(x));
}

__device__ __forceinline__ float geluSlope(float x, bool tanh) {
  if (fabsf(x) > 20.0f) {  // both forms have levelled out; a NaN goes on below
    return x > 0.0f ? 1.0f : 0.0f;
  }
  if (tanh) {
    float s = tanhStep(x);
    float slope = ROOT_TWO_OVER_PI * fmaf(3.0f * CUBIC * x, x, 1.0f);
    return fmaf(2.0f * x * slope, s * (1.0f - s), s);
  }
  float density = 0.39894228040143268f * expf(-0.5f * x * x);
  return fmaf(x, density, normalDistribution(x));
}

// castalia_gelu_T(T* out, const T* x, int tanh, i64 count).
#define GELU(name, T)                                                        \
  KERNEL(castalia_gelu_##name, (T* out, const T* x, int tanh, i64 count)) {  \
    bool vector = wide(out) && wide(x);                                      \
    for (i64 at = first8(); at < count; at += step8()) {                     \
      float values[8];                                                       \
      load8(values, x, at, count, vector);                                   \
      _Pragma("unroll") for (int i = 0; i < 8; i++) {                        \
        values[i] = gelu(values[i], tanh != 0);                              \
      }                                                                      \
      store8(out, values, at, count, vector);                                \
    }                                                                        \
  }
FOR_EACH_TYPE(GELU)

// castalia_gelu_backward_T(T* dx, const T* dOut, const T* x, int tanh, i64 count): dx may be dOut.
#define GELU_BACKWARD(name, T)                                                                    \
  KERNEL(castalia_gelu_backward_##name, (T* dx, const T* dOut, const T* x, int tanh, i64 count)) { \
    bool vector = wide(dx) && wide(dOut) && wide(x);                                              \
    for (i64 at = first8(); at < count; at += step8()) {                                          \
      float values[8], d[8];                                                                      \
      load8(values, x, at, count, vector);                                                        \
      load8(d, dOut, at, count, vector);                                                          \
      _Pragma("unroll") for (int i = 0; i < 8; i++) {                                             \
        d[i] = d[i] * geluSlope(values[i], tanh != 0);                                            \
      }                                                                                           \
      store8(dx, d, at, count, vector);                                                           \
    }                                                                                             \
  }
FOR_EACH_TYPE(GELU_BACKWARD)
