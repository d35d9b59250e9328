// The AdamW update with its digest, the digest alone, sums of squares and initial values: IEEE
// operations alone, so that every back end gives the same bits (numerics.md sections 5, 7, 8).
#include "common.cuh"

#define WEIGHT_FACTOR 0x9E3779B97F4A7C15ull
#define FIRST_FACTOR 0xC2B2AE3D27D4EB4Full
#define SECOND_FACTOR 0x165667B19E3779F9ull

__device__ __forceinline__ u64 word(float low, float high) {
  return (u64)__float_as_uint(high) << 32 | __float_as_uint(low);
}

// Adds the digest of two elements at an even flat position. Two zeros add nothing.
__device__ __forceinline__ void digestPair(u64& a, u64& b, u64 position, u64 x, u64 y, u64 z) {
  u64 t = (position / 2 + 1) * WEIGHT_FACTOR;
  u64 k1 = (t ^ (t >> 29)) | 1;
  u64 s = t * 0xBF58476D1CE4E5B9ull;
  u64 k2 = (s ^ (s >> 32)) | 1;
  u64 u = x * WEIGHT_FACTOR + y * FIRST_FACTOR + z * SECOND_FACTOR;
  a += u * k1;
  b += (u ^ (u >> 32)) * k2;
}

// Adds a block's sums to result[0] and result[1]. Sums of integers have no order.
__device__ __forceinline__ void addDigest(u64* result, u64 a, u64 b) {
  __shared__ u64 sums[2][8];
  a = warpSum(a);
  b = warpSum(b);
  int warp = threadIdx.x / 32;
  if (threadIdx.x % 32 == 0) {
    sums[0][warp] = a;
    sums[1][warp] = b;
  }
  __syncthreads();
  if (threadIdx.x < 2) {
    u64 sum = 0;
    for (int i = 0; i < 8; i++) {
      sum += sums[threadIdx.x][i];
    }
    atomicAdd(result + threadIdx.x, sum);
  }
}

// A row of the table of chunks: what castalia.kernels.cuda.Optimizer writes.
struct Scalars {
  float factor, rate, beta1, beta2, epsilon, decay, correction1, correction2;
};

struct Update {
  float* weight;
  float* first;
  float* second;
  void* compute;
  const float* gradient;
  i64 position, count;
  Scalars scalars;
};

// castalia_adamw_T(u64 results[chunks][2], const Update* updates): updates each chunk in place,
// writes the weights rounded to T (compute may be weight where T is float), adds the digest of the
// new values to the chunk's result. position is a multiple of 16. Grid (any, chunks), block 256.
template <typename T>
__device__ __forceinline__ void adamW(const Update& update, u64* result) {
  float* weight = update.weight;
  float* first = update.first;
  float* second = update.second;
  T* compute = (T*)update.compute;
  const float* gradient = update.gradient;
  i64 count = update.count;
  Scalars s = update.scalars;
  if (first4() - 4 * (i64)threadIdx.x >= count) {
    return;  // the whole block: a short chunk
  }
  float rest1 = 1.0f - s.beta1, rest2 = 1.0f - s.beta2;
  bool vector = wide(weight) && wide(first) && wide(second) && wide(compute) && wide(gradient);
  bool rounds = (const void*)compute != (const void*)weight;
  u64 a = 0, b = 0;
#pragma unroll 2
  for (i64 at = first4(); at < count; at += step4()) {
    float w[4], m[4], v[4], g[4];
    load<4>(w, weight, at, count, vector);
    load<4>(m, first, at, count, vector);
    load<4>(v, second, at, count, vector);
    load<4>(g, gradient, at, count, vector);
#pragma unroll
    for (int i = 0; i < 4; i++) {
      float scaled = g[i] * s.factor;
      m[i] = fmaf(s.beta1, m[i], rest1 * scaled);
      v[i] = fmaf(s.beta2, v[i], (rest2 * scaled) * scaled);
      float u = (m[i] * s.correction1) / (sqrtf(v[i] * s.correction2) + s.epsilon);
      u = fmaf(s.decay, w[i], u);
      w[i] = fmaf(-s.rate, u, w[i]);
      if (at + i >= count) {  // what lies behind the end is digested as zero
        w[i] = m[i] = v[i] = 0.0f;
      }
    }
    store<4>(first, m, at, count, vector);
    store<4>(second, v, at, count, vector);
    store<4>(weight, w, at, count, vector);
    if (rounds) {
      store<4>(compute, w, at, count, vector);
    }
#pragma unroll
    for (int i = 0; i < 4; i += 2) {
      digestPair(a, b, (u64)(update.position + at + i), word(w[i], w[i + 1]),
          word(m[i], m[i + 1]), word(v[i], v[i + 1]));
    }
  }
  addDigest(result, a, b);
}

#define ADAMW(name, T)                                                                           \
  KERNEL_BOUNDS(256, 2, castalia_adamw_##name, (u64* results, const Update* updates)) {          \
    adamW<T>(updates[blockIdx.y], results + 2 * blockIdx.y);                                     \
  }
FOR_EACH_TYPE(ADAMW)

// castalia_digest_f32(const float* weight, const float* first, const float* second, i64 position,
// i64 count, u64 result[2]): adds the digest to result. Grid min(pieces(count), 2048), block 256.
KERNEL(castalia_digest_f32, (const float* weight, const float* first, const float* second,
    i64 position, i64 count, u64* result)) {
  bool vector = wide(weight) && wide(first) && wide(second);
  u64 a = 0, b = 0;
  for (i64 at = first8(); at < count; at += step8()) {
    float w[8], m[8], v[8];
    load8(w, weight, at, count, vector);
    load8(m, first, at, count, vector);
    load8(v, second, at, count, vector);
#pragma unroll
    for (int i = 0; i < 8; i += 2) {
      digestPair(a, b, (u64)(position + at + i), word(w[i], w[i + 1]), word(m[i], m[i + 1]),
          word(v[i], v[i + 1]));
    }
  }
  addDigest(result, a, b);
}

// --- Sums of squares -----------------------------------------------------------------------------

// One block's sum over 16 fixed lanes in fp64, lanes folded by the tree. The chain of each lane has
// one order, so a chunk is one block's work: all threads load ahead while 16 add.
#define SQUARES_TILE 2048

__device__ __forceinline__ void sumOfSquares(double* result, const float* x, i64 count) {
  __shared__ float tile[SQUARES_TILE];
  __shared__ double lanes[16];
  double sum = 0.0;
  float ahead[8];
  for (int i = 0; i < 8; i++) {
    i64 at = i * 256 + threadIdx.x;
    ahead[i] = at < count ? x[at] : 0.0f;
  }
  for (i64 from = 0; from < count; from += SQUARES_TILE) {
    for (int i = 0; i < 8; i++) {
      tile[i * 256 + threadIdx.x] = ahead[i];
    }
    __syncthreads();
    for (int i = 0; i < 8; i++) {
      i64 at = from + SQUARES_TILE + i * 256 + threadIdx.x;
      ahead[i] = at < count ? x[at] : 0.0f;
    }
    if (threadIdx.x < 16) {
      // A square is exact in fp64, and behind the end a zero's changes nothing.
#pragma unroll 16
      for (int i = 0; i < SQUARES_TILE; i += 16) {
        double value = tile[i + threadIdx.x];
        sum = fma(value, value, sum);
      }
    }
    __syncthreads();
  }
  if (threadIdx.x < 16) {
    lanes[threadIdx.x] = sum;
  }
  __syncthreads();
  if (threadIdx.x == 0) {
    for (int width = 1; width < 16; width *= 2) {
      for (int lane = 0; lane < 16; lane += 2 * width) {
        lanes[lane] += lanes[lane + width];
      }
    }
    *result = lanes[0];
  }
}

struct Range {
  const float* x;
  i64 count;
};

// castalia_sums_of_squares_f32(double* results, const Range* ranges). Grid ranges, block 256.
KERNEL(castalia_sums_of_squares_f32, (double* results, const Range* ranges)) {
  sumOfSquares(results + blockIdx.x, ranges[blockIdx.x].x, ranges[blockIdx.x].count);
}

// --- Initial values ------------------------------------------------------------------------------

__device__ __forceinline__ u64 mix(u64 z) {
  u64 y = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9ull;
  u64 x = (y ^ (y >> 27)) * 0x94D049BB133111EBull;
  return x ^ (x >> 31);
}

// The natural logarithm of a normal, positive number, to the bits of fdlibm's e_log.c, which is:
// Copyright (C) 1993 by Sun Microsystems, Inc. All rights reserved. Developed at SunPro, a Sun
// Microsystems, Inc. business. Permission to use, copy, modify, and distribute this software is
// freely granted, provided that this notice is preserved.
__device__ double strictLog(double x) {
  const double ln2Hi = 6.93147180369123816490e-01, ln2Lo = 1.90821492927058770002e-10;
  const double l1 = 6.666666666666735130e-01, l2 = 3.999999999940941908e-01;
  const double l3 = 2.857142874366239149e-01, l4 = 2.222219843214978396e-01;
  const double l5 = 1.818357216161805012e-01, l6 = 1.531383769920937332e-01;
  const double l7 = 1.479819860511658591e-01;
  i64 bits = __double_as_longlong(x);
  int high = (int)(bits >> 32);
  int k = (high >> 20) - 1023;
  high &= 0x000fffff;
  int i = (high + 0x95f64) & 0x100000;
  bits = (bits & 0xffffffffll) | (i64)(high | (i ^ 0x3ff00000)) << 32;
  k += i >> 20;
  double dk = k;
  double f = __longlong_as_double(bits) - 1.0;
  if ((0x000fffff & (2 + high)) < 3) {
    if (f == 0.0) {
      return dk * ln2Hi + dk * ln2Lo;
    }
    double r = f * f * (0.5 - 0.33333333333333333 * f);
    return k == 0 ? f - r : dk * ln2Hi - ((r - dk * ln2Lo) - f);
  }
  double s = f / (2.0 + f);
  double z = s * s;
  double w = z * z;
  double t1 = w * (l2 + w * (l4 + w * l6));
  double t2 = z * (l1 + w * (l3 + w * (l5 + w * l7)));
  double r = t2 + t1;
  if (((high - 0x6147a) | (0x6b851 - high)) > 0) {
    double half = 0.5 * f * f;
    return k == 0 ? f - (half - s * (half + r))
                  : dk * ln2Hi - ((half - (s * (half + r) + dk * ln2Lo)) - f);
  }
  return k == 0 ? f - s * (f - r) : dk * ln2Hi - ((s * (f - r) - dk * ln2Lo) - f);
}

// The inverse normal distribution by Wichura's AS 241, as castalia.kernels.InverseNormal has it.
__device__ double quantile(double p) {
  double q = p - 0.5;
  if (fabs(q) <= 0.425) {
    double r = 0.180625 - q * q;
    double numerator = ((((((2.5090809287301226727e3 * r + 3.3430575583588128105e4) * r
        + 6.7265770927008700853e4) * r + 4.5921953931549871457e4) * r
        + 1.3731693765509461125e4) * r + 1.9715909503065514427e3) * r
        + 1.3314166789178437745e2) * r + 3.3871328727963666080e0;
    double denominator = ((((((5.2264952788528545610e3 * r + 2.8729085735721942674e4) * r
        + 3.9307895800092710610e4) * r + 2.1213794301586595867e4) * r
        + 5.3941960214247511077e3) * r + 6.8718700749205790830e2) * r
        + 4.2313330701600911252e1) * r + 1;
    return q * (numerator / denominator);
  }
  double r = sqrt(-strictLog(q < 0 ? p : 1 - p));
  double value;
  if (r <= 5) {
    r = r - 1.6;
    double numerator = ((((((7.74545014278341407640e-4 * r + 2.27238449892691845833e-2) * r
        + 2.41780725177450611770e-1) * r + 1.27045825245236838258e0) * r
        + 3.64784832476320460504e0) * r + 5.76949722146069140550e0) * r
        + 4.63033784615654529590e0) * r + 1.42343711074968357734e0;
    double denominator = ((((((1.05075007164441684324e-9 * r + 5.47593808499534494600e-4) * r
        + 1.51986665636164571966e-2) * r + 1.48103976427480074590e-1) * r
        + 6.89767334985100004550e-1) * r + 1.67638483018380384940e0) * r
        + 2.05319162663775882187e0) * r + 1;
    value = numerator / denominator;
  } else {
    r = r - 5;
    double numerator = ((((((2.01033439929228813265e-7 * r + 2.71155556874348757815e-5) * r
        + 1.24266094738807843860e-3) * r + 2.65321895265761230930e-2) * r
        + 2.96560571828504891230e-1) * r + 1.78482653991729133580e0) * r
        + 5.46378491116411436990e0) * r + 6.65790464350110377720e0;
    double denominator = ((((((2.04426310338993978564e-15 * r + 1.42151175831644588870e-7) * r
        + 1.84631831751005468180e-5) * r + 7.86869131145613259100e-4) * r
        + 1.48753612908506148525e-2) * r + 1.36929880922735805310e-1) * r
        + 5.99832206555887937690e-1) * r + 1;
    value = numerator / denominator;
  }
  return q < 0 ? -value : value;
}

// castalia_normal_T(T* out, double std, i64 seed, int tensor, int firstRow, int firstColumn,
// int tensorColumns, int rows, int columns): element (r, c) is std times the normal value of
// (seed, tensor, (firstRow + r) tensorColumns + firstColumn + c). Grid pieces(rows * columns),
// block 256.
template <typename T>
__device__ __forceinline__ void normal(T* out, double std, u64 stream, int firstRow,
                                       int firstColumn, int tensorColumns, int rows, int columns) {
  i64 count = (i64)rows * columns;
  for (i64 at = (i64)blockIdx.x * blockDim.x + threadIdx.x; at < count;
      at += (i64)gridDim.x * blockDim.x) {
    i64 row = at / columns;
    i64 element = (firstRow + row) * tensorColumns + firstColumn + (at - row * columns);
    u64 h = mix(stream + WEIGHT_FACTOR * (u64)(element + 1));
    double p = ((double)(i64)(h >> 11) + 0.5) * 0x1p-53;
    out[at] = narrow<T>((float)(std * quantile(p)));
  }
}

#define NORMAL(name, T)                                                                           \
  KERNEL(castalia_normal_##name, (T* out, double std, i64 seed, int tensor, int firstRow,         \
      int firstColumn, int tensorColumns, int rows, int columns)) {                               \
    u64 stream = mix((u64)seed + WEIGHT_FACTOR * (u64)(tensor + 1ll));                            \
    normal(out, std, stream, firstRow, firstColumn, tensorColumns, rows, columns);                \
  }
FOR_EACH_TYPE(NORMAL)
