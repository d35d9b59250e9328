// Every kernel on the shim against a plain computation in double, in both orders of threads, at
// aligned and at shifted addresses; results must be the same bits each time. Prints one line per
// family and ends with 1 at the first fault. Test code; no JVM, so that kernels can be written with
// it alone:
//
//   g++ -std=c++20 -O2 -fno-strict-aliasing -ffp-contract=off -Wno-unknown-pragmas -DCASTALIA_SHIM
//       -I kernels/src/test/cuda/shim -I kernels/src/main/cuda -x c++ kernels/src/main/cuda/*.cu
//       kernels/src/test/cuda/shim/shim.cpp kernels/src/test/cuda/self_test.cpp -o self_test
//   ./self_test [pointwise] [norms] [others] [attention]
#include "common.cuh"
#include "shim_api.h"

#include <cstdarg>
#include <cstdio>
#include <functional>
#include <limits>
#include <string>
#include <vector>

namespace {

const double U = 0x1p-24;  // half a unit in the last place of 1

std::string what;  // is being tested

[[noreturn]] void die(const char* format, ...) {
  va_list arguments;
  va_start(arguments, format);
  fprintf(stderr, "%s: ", what.c_str());
  vfprintf(stderr, format, arguments);
  fprintf(stderr, "\n");
  exit(1);
}

std::string text(const char* format, ...) {
  char line[200];
  va_list arguments;
  va_start(arguments, format);
  vsnprintf(line, sizeof line, format, arguments);
  va_end(arguments);
  return line;
}

template <typename T>
const char* typeName();
template <>
const char* typeName<float>() {
  return "f32";
}
template <>
const char* typeName<bf16>() {
  return "bf16";
}
template <>
const char* typeName<f16>() {
  return "f16";
}

// The relative error of rounding to a type, and what stays of it near zero.
template <typename T>
double roundoff() {
  return sizeof(T) == 4 ? U : std::string(typeName<T>()) == "bf16" ? 0x1p-8 : 0x1p-11;
}

template <typename T>
double tiny() {
  return std::string(typeName<T>()) == "f16" ? 0x1p-25 : 0x1p-126;
}

u64 state;

double uniform() {
  state += 0x9E3779B97F4A7C15ull;
  u64 y = (state ^ (state >> 30)) * 0xBF58476D1CE4E5B9ull;
  u64 x = (y ^ (y >> 27)) * 0x94D049BB133111EBull;
  return ((x ^ (x >> 31)) >> 11) * 0x1p-53;
}

double normal() { return sqrt(-2 * log(uniform() + 0x1p-60)) * cos(6.283185307179586 * uniform()); }

double valueOf(float x) { return x; }
double valueOf(double x) { return x; }
double valueOf(bf16 x) { return widen(x); }
double valueOf(f16 x) { return widen(x); }

bool shifted;  // whether arrays start off their alignment

// An array between margins that no kernel may touch.
template <typename T>
struct Array {
  static constexpr int MARGIN = 64;
  std::vector<T> all;
  int before;
  i64 count;

  explicit Array(i64 count) : before(MARGIN + (shifted ? 1 : 0)), count(count) {
    all.resize(before + count + MARGIN + 64 / sizeof(T));
    // Vectors are aligned to 16 bytes; so are 64 elements.
    memset(all.data(), 0xFF, all.size() * sizeof(T));
  }

  T* data() { return all.data() + before; }
  T& operator[](i64 i) { return all[before + i]; }
  double at(i64 i) const { return valueOf(all[before + i]); }

  Array& fill(double scale = 1) {
    for (i64 i = 0; i < count; i++) {
      all[before + i] = narrow<T>((float)(scale * normal()));
    }
    return *this;
  }

  void checkMargins() const {
    const unsigned char* bytes = (const unsigned char*)all.data();
    for (size_t i = 0; i < all.size() * sizeof(T); i++) {
      if ((i < before * sizeof(T) || i >= (before + count) * sizeof(T)) && bytes[i] != 0xFF) {
        die("a write outside of an array, at byte %zu of %zu", i, all.size() * sizeof(T));
      }
    }
  }
};

struct Grid {
  i64 x = 1, y = 1, z = 1;
};

template <typename T>
auto pass(Array<T>& array) {
  return array.data();
}
template <typename T>
T pass(T& value) {
  return value;
}

template <typename... A>
void launch(const std::string& name, Grid grid, int block, int shared, A... arguments) {
  int kernel = shim_find(name.c_str());
  if (kernel < 0) {
    die("no kernel %s", name.c_str());
  }
  void* params[] = {(void*)&arguments...};
  const int bytes[] = {(int)sizeof(A)...};
  if (shim_arguments(kernel) != (int)sizeof...(A)) {
    die("%s has %d arguments", name.c_str(), shim_arguments(kernel));
  }
  for (size_t i = 0; i < sizeof...(A); i++) {
    if (shim_argument_bytes(kernel, i) != bytes[i]) {
      die("%s: argument %zu has %d bytes", name.c_str(), i, shim_argument_bytes(kernel, i));
    }
  }
  int status = shim_launch(kernel, grid.x, grid.y, grid.z, block, 1, 1, shared, params);
  if (status != 0) {
    die("%s ended with %d", name.c_str(), status);
  }
}

i64 up(i64 n, i64 d) { return (n + d - 1) / d; }

i64 pieces(i64 n) { return std::min<i64>(std::max<i64>(1, up(n, 2048)), 8192); }

u64 hash(u64 h, const void* data, size_t bytes) {
  const unsigned char* at = (const unsigned char*)data;
  for (size_t i = 0; i < bytes; i++) {
    h = (h ^ at[i]) * 0x100000001B3ull;
  }
  return h;
}

template <typename T>
u64 hash(u64 h, Array<T>& array) {
  array.checkMargins();
  return hash(h, array.data(), array.count * sizeof(T));
}

// Runs a test forward and backward, aligned and shifted; it returns a hash of all results.
void eachWay(const std::string& name, const std::function<u64()>& test) {
  what = name;
  u64 first = 0;
  for (int way = 0; way < 4; way++) {
    shifted = way & 1;
    shim_reverse(way >> 1);
    state = 42;
    u64 h = test();
    if (way == 0) {
      first = h;
    } else if (h != first) {
      die("other bits %s, threads %s", shifted ? "at shifted addresses" : "at aligned addresses",
          way >> 1 ? "descending" : "ascending");
    }
  }
}

double worst;  // error over bound of the family so far

void near(double actual, double expected, double bound, const char* name, i64 i) {
  double error = fabs(actual - expected);
  if (!(error <= bound)) {
    die("%s[%lld] is %.9g, not %.9g (off by %.3g, allowed %.3g)", name, i, actual, expected, error,
        bound);
  }
  worst = std::max(worst, error / bound);
}

template <typename T>
void nearRounded(double actual, double expected, double bound, const char* name, i64 i) {
  near(actual, expected, (bound + roundoff<T>() * (fabs(expected) + bound)) * 1.01 + tiny<T>(), name, i);
}

void family(const char* name) {
  printf("%-12s right; worst error is %.2f of its bound\n", name, worst);
  fflush(stdout);
  worst = 0;
}

// --- Attention -----------------------------------------------------------------------------------

struct Extents {
  int batch, sequence, heads, dimension;
};

template <typename T>
bool onTensorCores(int d) {
  return sizeof(T) == 2 && (d == 32 || d == 64 || d == 80 || d == 128 || d == 256);
}

// Bounds: a score of D products is off by (D + 6) U times the sum of their magnitudes; an
// exponential by that relatively; operands of a second product are rounded to T.
template <typename T>
u64 attention(Extents e, double deviation) {
  const int s = e.sequence, h = e.heads, d = e.dimension;
  i64 vectors = (i64)e.batch * s * h;
  Array<T> qkv(3 * vectors * d), out(vectors * d), dOut(vectors * d), dQkv(3 * vectors * d);
  Array<float> lse(vectors), delta(vectors);
  qkv.fill();
  for (i64 i = 0; i < qkv.count; i++) {
    if (i / d % 3 != 2) {
      qkv[i] = narrow<T>((float)(deviation * qkv.at(i)));
    }
  }
  dOut.fill();
  std::string suffix = std::string("_") + typeName<T>();
  bool small = d <= 80;
  if (onTensorCores<T>(d)) {
    std::string size = "_" + std::to_string(d) + suffix;
    int warps = d == 256 ? 4 : 8, keys = d == 256 ? 32 : 64, tile = small ? 64 : 32;
    launch("castalia_attention" + size, {up(s, 16 * warps), h, e.batch}, 32 * warps,
        (16 * warps + 2 * keys) * (d + 8) * 2, out.data(), lse.data(), (const T*)qkv.data(), e.batch,
        s, h);
    launch("castalia_attention_delta" + suffix, {up(vectors, 8)}, 256, 0, delta.data(),
        (const T*)dOut.data(), (const T*)out.data(), e.batch, s, h, d);
    launch("castalia_attention_keys" + size, {up(s, 64), h, d == 256 ? 2 * e.batch : e.batch}, 128,
        (128 + 4 * tile) * (d + 8) * 2 + 16 * tile, dQkv.data(), (const T*)dOut.data(),
        (const float*)lse.data(), (const float*)delta.data(), (const T*)qkv.data(), e.batch, s, h);
    launch("castalia_attention_queries" + size, {up(s, 64), h, e.batch}, 128,
        (128 + 4 * tile) * (d + 8) * 2, dQkv.data(), (const T*)dOut.data(), (const float*)lse.data(),
        (const float*)delta.data(), (const T*)qkv.data(), e.batch, s, h);
  } else {
    Grid grid{up(s, 4), h, e.batch};
    launch("castalia_attention_plain" + suffix, grid, 128, 0, out.data(), lse.data(),
        (const T*)qkv.data(), e.batch, s, h, d);
    launch("castalia_attention_delta" + suffix, {up(vectors, 8)}, 256, 0, delta.data(),
        (const T*)dOut.data(), (const T*)out.data(), e.batch, s, h, d);
    for (const char* part : {"keys", "queries"}) {
      launch(std::string("castalia_attention_plain_") + part + suffix, grid, 128, 0, dQkv.data(),
          (const T*)dOut.data(), (const float*)lse.data(), (const float*)delta.data(),
          (const T*)qkv.data(), e.batch, s, h, d);
    }
  }
  double scale = 1 / sqrt(d), operand = sizeof(T) == 2 ? roundoff<T>() : 0;
  double small2 = sizeof(T) == 2 ? tiny<T>() : 0, vanishing = 2 * 0x1p-126;
  std::vector<double> expected(3 * vectors * d), bound(3 * vectors * d);
  std::vector<double> score(s), off(s);
  for (int b = 0; b < e.batch; b++) {
    for (int head = 0; head < h; head++) {
      for (int i = 0; i < s; i++) {
        auto at = [&](int position, int part) {
          return (((i64)b * s + position) * h + head) * 3 * d + part * d;
        };
        i64 o = (((i64)b * s + i) * h + head) * d;
        i64 row = ((i64)b * h + head) * s + i;
        double most = -1e300, total = 0, far = 0;
        for (int j = 0; j <= i; j++) {
          score[j] = off[j] = 0;
          for (int x = 0; x < d; x++) {
            double product = qkv.at(at(i, 0) + x) * qkv.at(at(j, 1) + x) * scale;
            score[j] += product;
            off[j] += (d + 6) * U * fabs(product);
          }
          most = std::max(most, score[j]);
          far = std::max(far, off[j]);
        }
        for (int j = 0; j <= i; j++) {
          total += exp(score[j] - most);
        }
        double log = most + std::log(total);
        near(lse.at(row), log, far + (i + 8) * U + U * fabs(log), "lse", row);
        double relative = expm1(2 * far) + (2 * i + 16) * U + operand;
        double own = 0, ownMagnitude = 0;
        for (int x = 0; x < d; x++) {
          double sum = 0, magnitude = 0;
          for (int j = 0; j <= i; j++) {
            double p = exp(score[j] - log), v = qkv.at(at(j, 2) + x);
            sum += p * v;
            magnitude += (relative * p + small2) * fabs(v);
          }
          nearRounded<T>(out.at(o + x), sum, magnitude, "out", o + x);
          own += dOut.at(o + x) * out.at(o + x);
          ownMagnitude += fabs(dOut.at(o + x) * out.at(o + x));
        }
        log = lse.at(row);
        for (int j = 0; j <= i; j++) {
          double p = exp(score[j] - log), gradient = 0, magnitude = ownMagnitude;
          for (int x = 0; x < d; x++) {
            double product = dOut.at(o + x) * qkv.at(at(j, 2) + x);
            gradient += product;
            magnitude += fabs(product);
          }
          double ds = p * (gradient - own) * scale;
          double rel = expm1(off[j] + 2 * U * fabs(log)) + 8 * U;
          double offP = p * (rel + operand + (s + 4) * U) + vanishing + small2;
          double offS = (p * (rel + (d + 8) * U + 2 * operand + s * U) + vanishing) * magnitude * scale
              + small2 * (magnitude + 1) * scale;
          for (int x = 0; x < d; x++) {
            i64 q = at(i, 0) + x, k = at(j, 1) + x, v = at(j, 2) + x;
            expected[q] += ds * qkv.at(k);
            bound[q] += offS * fabs(qkv.at(k));
            expected[k] += ds * qkv.at(q);
            bound[k] += offS * fabs(qkv.at(q));
            expected[v] += p * dOut.at(o + x);
            bound[v] += offP * fabs(dOut.at(o + x));
          }
        }
      }
    }
  }
  for (i64 i = 0; i < dQkv.count; i++) {
    nearRounded<T>(dQkv.at(i), expected[i], bound[i], "dQkv", i);
  }
  return hash(hash(hash(hash(0, out), lse), delta), dQkv);
}

template <typename T>
void attentions() {
  for (Extents e : {Extents{1, 1, 1, 32}, {2, 7, 3, 32}, {1, 65, 2, 32}, {1, 200, 1, 32},
           {1, 130, 2, 64}, {2, 33, 1, 64}, {1, 190, 1, 80}, {1, 140, 1, 128}, {1, 17, 2, 128},
           {1, 100, 1, 256}, {2, 5, 1, 256}, {2, 9, 2, 4}, {1, 70, 1, 20}, {1, 40, 2, 67}}) {
    for (double deviation : {1.0, 20.0, 0.0}) {
      if (deviation != 1 && e.sequence > 100 && e.dimension > 64) {
        continue;
      }
      eachWay(text("attention of %s, %d x %d x %d x %d, deviation %g", typeName<T>(), e.batch,
                  e.sequence, e.heads, e.dimension, deviation),
          [&] { return attention<T>(e, deviation); });
    }
  }
}

// --- Pointwise -----------------------------------------------------------------------------------

template <typename T>
bool sameBits(const T& x, const T& y) {
  return memcmp(&x, &y, sizeof(T)) == 0;
}

template <typename T>
void same(Array<T>& actual, i64 i, T expected, const char* name) {
  if (!sameBits(actual[i], expected)) {
    die("%s[%lld] is %.9g, not %.9g to the bit", name, i, actual.at(i), valueOf(expected));
  }
}

template <typename T>
T treeOf(const std::vector<T>& x, int from, int to) {
  if (to - from == 1) {
    return x[from];
  }
  int half = 1;
  while (2 * half < to - from) {
    half *= 2;
  }
  return treeOf(x, from, from + half) + treeOf(x, from + half, to);
}

double distribution(double x) { return 0.5 * erfc(-x * sqrt(0.5)); }

template <typename T>
u64 pointwise(i64 count, int columns, int slices) {
  std::string suffix = std::string("_") + typeName<T>();
  Array<T> out(count), x(count), dOut(count), dx(count), bias1(columns), bias2(columns);
  Array<float> sums(count), others(count);
  std::vector<Array<float>> partials;
  Buffers<const float> pointers{};
  for (int t = 0; t < slices; t++) {
    partials.emplace_back(count).fill();
  }
  for (int t = 0; t < slices; t++) {
    pointers.at[t] = partials[t].data();
  }
  bias1.fill();
  bias2.fill();
  x.fill(3);
  dOut.fill();
  u64 h = 0;
  for (int tanh = 0; tanh < 2; tanh++) {
    launch("castalia_gelu" + suffix, {pieces(count)}, 256, 0, out.data(), (const T*)x.data(), tanh, count);
    launch("castalia_gelu_backward" + suffix, {pieces(count)}, 256, 0, dx.data(),
        (const T*)dOut.data(), (const T*)x.data(), tanh, count);
    for (i64 i = 0; i < count; i++) {
      double v = x.at(i), inner = std::min(fabs(v), 8.0), y, slope;
      if (tanh) {
        double c = sqrt(2 / M_PI), t = std::tanh(c * (v + 0.044715 * v * v * v));
        y = v * (1 + t) / 2;
        slope = (1 + t) / 2 + v * (1 - t * t) / 2 * c * (1 + 3 * 0.044715 * v * v);
      } else {
        y = v * distribution(v);
        slope = distribution(v) + v * exp(-v * v / 2) / sqrt(2 * M_PI);
      }
      double steep = tanh ? 0.4 * inner * (1 + 0.134 * inner * inner) : 0;
      nearRounded<T>(out.at(i), y, 8 * U * fabs(v), "gelu", i);
      nearRounded<T>(dx.at(i), dOut.at(i) * slope, (10 + 4 * steep) * U * fabs(dOut.at(i)), "dx", i);
    }
    h = hash(hash(h, out), dx);
  }
  launch("castalia_sum_partials" + suffix, {pieces(count)}, 256, 0, out.data(), pointers, slices, count);
  std::vector<float> terms(slices);
  for (i64 i = 0; i < count; i++) {
    for (int t = 0; t < slices; t++) {
      terms[t] = partials[t][i];
    }
    same(out, i, narrow<T>(treeOf(terms, 0, slices)), "sum");
  }
  h = hash(h, out);
  int rows = count / columns;
  launch("castalia_residual" + suffix, {pieces(count)}, 256, 0, out.data(), (const T*)x.data(), pointers,
      slices, (const T*)bias1.data(), (const T*)(slices % 2 ? bias2.data() : nullptr), 3, rows, columns);
  for (i64 i = 0; i < (i64)rows * columns; i++) {
    for (int t = 0; t < slices; t++) {
      terms[t] = partials[t][i];
    }
    float biases = 3.0f * (float)bias1.at(i % columns);
    if (slices % 2) {
      biases = biases + 3.0f * (float)bias2.at(i % columns);
    }
    same(out, i, narrow<T>((float)x.at(i) + (treeOf(terms, 0, slices) + biases)), "residual");
  }
  h = hash(h, out);
  sums.fill();
  others.fill();
  std::vector<float> before(sums.data(), sums.data() + count);
  launch("castalia_add_f32", {pieces(count)}, 256, 0, sums.data(), (const float*)others.data(), count);
  for (i64 i = 0; i < count; i++) {
    same(sums, i, before[i] + others[i], "added");
  }
  launch("castalia_add_bias" + suffix, {rows, up(columns - 1, 256)}, 256, 0, sums.data(),
      (const T*)bias1.data(), rows, columns - 1, columns);
  for (i64 i = 0; i < (i64)rows * columns; i++) {
    float plain = before[i] + others[i];
    bool within = i % columns < columns - 1;
    same(sums, i, within ? plain + (float)bias1.at(i % columns) : plain, "biased");
  }
  launch("castalia_fill" + suffix, {pieces(count - 1)}, 256, 0, out.data(), 0.3f, count - 1);
  for (i64 i = 0; i < count - 1; i++) {
    same(out, i, narrow<T>(0.3f), "filled");
  }
  return hash(hash(h, sums), out);
}

// Rounding to every 16-bit number, around the ties: nearest, and even where two are as near.
template <typename T>
u64 casts() {
  const int around[] = {-1, 0, 1, 0x7FF, 0xFFF, 0x1000, 0x1001, 0x7FFF, 0x8000, 0x8001};
  std::vector<unsigned> patterns;
  for (unsigned bits = 0; bits < 65536; bits++) {
    unsigned exact = __float_as_uint(widen(T{(unsigned short)bits}));
    for (int offset : around) {
      patterns.push_back(exact + offset);
    }
  }
  i64 count = patterns.size();
  Array<float> x(count), back(count);
  Array<T> rounded(count);
  memcpy(x.data(), patterns.data(), count * 4);
  std::string name = typeName<T>();
  launch("castalia_cast_" + name + "_f32", {pieces(count)}, 256, 0, rounded.data(),
      (const float*)x.data(), count);
  launch("castalia_cast_f32_" + name, {pieces(count)}, 256, 0, back.data(), (const T*)rounded.data(), count);
  const double infinity = std::numeric_limits<double>::infinity();
  for (i64 i = 0; i < count; i++) {
    double value = x.at(i), result = back.at(i);
    unsigned short bits = rounded[i].bits;
    if (value != value) {
      if (result == result) {
        die("a NaN became %g", result);
      }
      continue;
    }
    if (std::signbit(value) != (bits >> 15)) {
      die("the sign of %g is lost", value);
    }
    double up = fabs(widen(T{(unsigned short)((bits & 0x7FFF) + 1)}));
    double down = bits & 0x7FFF ? fabs(widen(T{(unsigned short)((bits & 0x7FFF) - 1)})) : -1;
    double size = fabs(value), got = fabs(result);
    // Infinity counts as the next power of two.
    double next = name == "bf16" ? 0x1p128 : 65536;
    got = got == infinity ? next : got;
    up = up == infinity ? next : up;
    size = size == infinity ? next : size;
    bool tieUp = up == up && fabs(up - size) == fabs(got - size);
    bool tieDown = down >= 0 && fabs(size - down) == fabs(got - size);
    bool nearest = !(fabs(up - size) < fabs(got - size)) && !(down >= 0 && fabs(size - down) < fabs(got - size));
    if (!nearest || ((tieUp || tieDown) && (bits & 1))) {
      die("%.9g became %.9g", value, result);
    }
  }
  return hash(hash(0, rounded), back);
}

template <typename T>
void pointwises() {
  for (int columns : {2, 3, 8, 20, 67, 264}) {
    for (int slices = 1; slices <= 16; slices++) {
      i64 count = columns * (slices % 5 + 7);
      eachWay(text("pointwise %s, %lld, %d columns, %d slices", typeName<T>(), count, columns, slices),
          [&] { return pointwise<T>(count, columns, slices); });
    }
  }
}

// --- Optimizer -----------------------------------------------------------------------------------

void digestOf(u64* sums, u64 position, i64 count, Array<float>& w, Array<float>& m, Array<float>& v) {
  for (i64 i = 0; i < count; i += 2) {
    auto word = [&](Array<float>& x) {
      return (u64)(i + 1 < count ? __float_as_uint(x[i + 1]) : 0) << 32 | __float_as_uint(x[i]);
    };
    u64 t = ((position + i) / 2 + 1) * 0x9E3779B97F4A7C15ull, s = t * 0xBF58476D1CE4E5B9ull;
    u64 u = word(w) * 0x9E3779B97F4A7C15ull + word(m) * 0xC2B2AE3D27D4EB4Full
        + word(v) * 0x165667B19E3779F9ull;
    sums[0] += u * ((t ^ (t >> 29)) | 1);
    sums[1] += (u ^ (u >> 32)) * ((s ^ (s >> 32)) | 1);
  }
}

// A chunk as the update's kernel is told of it.
struct Update {
  void *weight, *first, *second, *compute;
  const void* gradient;
  i64 position, count;
  float scalars[8];
};

struct Range {
  const float* x;
  i64 count;
};

template <typename T>
u64 optimizer(i64 count) {
  std::string suffix = std::string("_") + typeName<T>();
  Array<float> w(count), m(count), v(count), g(count);
  Array<T> compute(count);
  Array<double> squares(2);
  w.fill();
  m.fill(1e-2);
  g.fill(1e-2);
  for (i64 i = 0; i < count; i++) {
    float root = 1e-2f * (float)normal();
    v[i] = root * root;
  }
  std::vector<float> w0(w.data(), w.data() + count), m0(m.data(), m.data() + count),
      v0(v.data(), v.data() + count);
  u64 sums[4] = {1, 2, 5, 7}, expected[2] = {5, 7};
  u64* result = sums + 2;
  i64 position = 48;
  // Beside a chunk of nothing.
  Update updates[2] = {{}, {w.data(), m.data(), v.data(), compute.data(), g.data(), position, count,
      {0.37f, 6e-4f, 0.9f, 0.95f, 1e-8f, 0.1f, 1.25f, 1.7f}}};
  u64* results = sums;
  const Update* table = updates;
  launch("castalia_adamw" + suffix, {std::max<i64>(1, count / 2000), 2}, 256, 0, results, table);
  if (sums[0] != 1 || sums[1] != 2) {
    die("the digest of nothing is %llu, %llu", sums[0], sums[1]);
  }
  for (i64 i = 0; i < count; i++) {
    float scaled = g[i] * 0.37f;
    float first = fmaf(0.9f, m0[i], (1.0f - 0.9f) * scaled);
    float second = fmaf(0.95f, v0[i], ((1.0f - 0.95f) * scaled) * scaled);
    float u = (first * 1.25f) / (sqrtf(second * 1.7f) + 1e-8f);
    u = fmaf(0.1f, w0[i], u);
    same(m, i, first, "first");
    same(v, i, second, "second");
    same(w, i, fmaf(-6e-4f, u, w0[i]), "weight");
    same(compute, i, narrow<T>(w[i]), "compute");
  }
  digestOf(expected, position, count, w, m, v);
  launch("castalia_digest_f32", {std::min<i64>(pieces(count), 2048)}, 256, 0, (const float*)w.data(),
      (const float*)m.data(), (const float*)v.data(), position, count, result);
  digestOf(expected, position, count, w, m, v);
  if (result[0] != expected[0] || result[1] != expected[1]) {
    die("digest of %lld", count);
  }
  double lanes[16] = {};
  for (i64 i = 0; i < count; i++) {
    lanes[i % 16] += (double)w[i] * w[i];
  }
  double total = treeOf(std::vector<double>(lanes, lanes + 16), 0, 16);
  Range ranges[2] = {{w.data(), count}, {m.data(), 0}};
  const Range* all = ranges;
  launch("castalia_sums_of_squares_f32", {2}, 256, 0, squares.data(), all);
  if (squares[0] != total || squares[1] != 0) {
    die("sums of squares are %.17g, %.17g, not %.17g, 0", squares[0], squares[1], total);
  }
  u64 h = hash(hash(hash(hash(hash(0, w), m), v), compute), squares);
  return hash(h, sums, sizeof sums);
}

// Of a value and its hash: std times the quantile, which the normal distribution takes back.
template <typename T>
u64 initial() {
  int rows = 9, columns = 37;
  Array<T> whole((rows + 2) * 140), part(rows * columns);
  std::string name = std::string("castalia_normal_") + typeName<T>();
  launch(name, {pieces(whole.count)}, 256, 0, whole.data(), 0.5, 1234LL, 5, 0, 0, 140, rows + 2, 140);
  launch(name, {pieces(part.count)}, 256, 0, part.data(), 0.5, 1234LL, 5, 2, 9, 140, rows, columns);
  for (i64 i = 0; i < part.count; i++) {
    same(part, i, whole[(2 + i / columns) * 140 + 9 + i % columns], "slice");
  }
  auto mixed = [](u64 z) {
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9ull;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBull;
    return z ^ (z >> 31);
  };
  u64 stream = mixed(1234 + 0x9E3779B97F4A7C15ull * 6);
  for (i64 i = 0; i < whole.count; i++) {
    double p = ((mixed(stream + 0x9E3779B97F4A7C15ull * (i + 1)) >> 11) + 0.5) * 0x1p-53;
    double x = whole.at(i) / 0.5;
    double density = exp(-x * x / 2) / sqrt(2 * M_PI);
    near(distribution(x), p, 1.01 * (roundoff<T>() * fabs(x) * density + 1e-15) * (1 + fabs(x) * roundoff<T>() * 9),
        "normal", i);
  }
  return hash(hash(0, whole), part);
}

// --- Tokens --------------------------------------------------------------------------------------

template <typename T>
u64 embeddings(int rows, int columns) {
  std::string suffix = std::string("_") + typeName<T>();
  int vocabulary = 12, first = 3;
  i64 count = (i64)rows * columns;
  Array<T> weight(vocabulary * columns), out(count), selected(count), x(count), dOut(count);
  Array<float> dWeight(vocabulary * columns);
  Array<int> tokens(rows);
  weight.fill();
  weight[0] = narrow<T>(-0.0f);
  x.fill();
  out.fill();
  selected.fill();
  dOut.fill();
  dWeight.fill();
  for (int r = 0; r < rows; r++) {
    tokens[r] = (int)(uniform() * 18);
  }
  tokens[0] = first;
  std::vector<T> before(out.data(), out.data() + count), kept(selected.data(), selected.data() + count);
  std::vector<float> sums(dWeight.data(), dWeight.data() + dWeight.count);
  const int* ids = tokens.data();
  launch("castalia_embedding" + suffix, {rows}, 128, 0, out.data(), ids, (const T*)weight.data(), first,
      rows, columns, vocabulary);
  launch("castalia_select_rows" + suffix, {rows}, 128, 0, selected.data(), (const T*)x.data(), ids, first,
      rows, columns, vocabulary);
  launch("castalia_embedding_backward" + suffix, {rows, up(columns, 1024)}, 256, 0, dWeight.data(),
      (const T*)dOut.data(), ids, first, rows, columns, vocabulary);
  for (int r = 0; r < rows; r++) {
    int row = tokens[r] - first;
    bool inside = row >= 0 && row < vocabulary;
    for (int c = 0; c < columns; c++) {
      i64 i = (i64)r * columns + c;
      if (inside) {
        float looked = (float)weight.at(row * columns + c);
        same(out, i, narrow<T>(looked == 0 ? 0.0f : looked), "embedding");
        sums[row * columns + c] = sums[row * columns + c] + (float)dOut.at(i);
      } else {
        same(out, i, before[i], "embedding elsewhere");
      }
      same(selected, i, inside ? x[i] : kept[i], "selected");
    }
  }
  for (i64 i = 0; i < dWeight.count; i++) {
    same(dWeight, i, sums[i], "dWeight");
  }
  return hash(hash(hash(0, out), selected), dWeight);
}

// --- Norms ---------------------------------------------------------------------------------------

// A sum of C columns runs through at most C / 32 + 15 additions a lane and the folds: fewer than
// C / 16 + 16. Its error, relative to the row's deviation, carries over.
template <typename T>
u64 norms(int rows, int columns, bool two, double centre) {
  std::string suffix = std::string(columns > 1024 ? "_wide_" : "_") + typeName<T>();
  Grid grid{columns > 1024 ? rows : up(rows, 4)};
  int block = columns > 1024 ? 256 : 128;
  i64 count = (i64)rows * columns;
  Array<T> x(count), out[2] = {Array<T>(count), Array<T>(count)}, d[2] = {Array<T>(count), Array<T>(count)};
  Array<T> w[2] = {Array<T>(columns), Array<T>(columns)}, b[2] = {Array<T>(columns), Array<T>(columns)};
  Array<T> dx(count), residual(count);
  Array<float> mean(rows), rstd(rows);
  x.fill();
  residual.fill();
  for (i64 i = 0; i < count; i++) {
    x[i] = narrow<T>((float)(x.at(i) + centre));
  }
  for (int k = 0; k < 2; k++) {
    w[k].fill();
    b[k].fill();
    d[k].fill();
  }
  const T* cx = x.data();
  const T *w1 = w[0].data(), *w2 = w[1].data(), *b1 = b[0].data(), *b2 = b[1].data();
  const T *d1 = d[0].data(), *d2 = d[1].data(), *res = residual.data();
  const float *cm = mean.data(), *cr = rstd.data();
  int groups = up(rows, 128), sets = two ? 2 : 1;
  Array<float> partials((i64)2 * sets * groups * columns);
  std::vector<Array<float>> sums(4, Array<float>(columns));
  std::vector<std::vector<float>> once(4);
  if (two) {
    launch("castalia_layer_norm_double" + suffix, grid, block, 0, out[0].data(), out[1].data(), mean.data(),
        rstd.data(), cx, w1, b1, w2, b2, 1e-5f, rows, columns);
    launch("castalia_layer_norm_double_input" + suffix, grid, block, 0, dx.data(), res, d1, d2, cx, cm, cr,
        w1, w2, rows, columns);
    launch(std::string("castalia_layer_norm_double_groups_") + typeName<T>(), {up(columns, 128), groups}, 64,
        0, partials.data(), d1, d2, cx, cm, cr, rows, columns);
  } else {
    launch("castalia_layer_norm" + suffix, grid, block, 0, out[0].data(), mean.data(), rstd.data(), cx, w1,
        b1, 1e-5f, rows, columns);
    launch("castalia_layer_norm_input" + suffix, grid, block, 0, dx.data(), res, d1, cx, cm, cr, w1, rows,
        columns);
    launch(std::string("castalia_layer_norm_groups_") + typeName<T>(), {up(columns, 128), groups}, 64, 0,
        partials.data(), d1, cx, cm, cr, rows, columns);
  }
  for (int accumulate = 0; accumulate < 2; accumulate++) {
    launch("castalia_fold_groups_f32", {up(columns, 128), 2 * sets}, 128, 0, sums[0].data(), sums[1].data(),
        sums[2].data(), sums[3].data(), (const float*)partials.data(), groups, columns, accumulate);
    for (int k = 0; k < 2 * sets; k++) {
      if (accumulate == 0) {
        once[k].assign(sums[k].data(), sums[k].data() + columns);
      }
      for (int c = 0; accumulate == 1 && c < columns; c++) {
        same(sums[k], c, once[k][c] + once[k][c], "accumulated");
      }
    }
  }
  double length = columns / 16.0 + 16;
  std::vector<double> weights(sets * columns), biases(sets * columns), weightOff(sets * columns),
      biasOff(sets * columns);
  for (int r = 0; r < rows; r++) {
    double m = 0, variance = 0, magnitude = 0;
    for (int c = 0; c < columns; c++) {
      m += x.at((i64)r * columns + c) / columns;
      magnitude += fabs(x.at((i64)r * columns + c)) / columns;
    }
    for (int c = 0; c < columns; c++) {
      variance += pow(x.at((i64)r * columns + c) - m, 2) / columns;
    }
    double scale = 1 / sqrt(variance + (double)1e-5f), meanOff = length * U * magnitude;
    double relative = (length + 4) * U + 2 * meanOff * scale + pow(meanOff * scale, 2);
    near(mean.at(r), m, meanOff + 1e-40, "mean", r);
    near(rstd.at(r), scale, relative * scale, "rstd", r);
    // The gradient is of the statistics as they were kept.
    double keptMean = mean.at(r), keptScale = rstd.at(r);
    double averages[2][2] = {}, sizes[2][2] = {};
    for (int c = 0; c < columns; c++) {
      i64 i = (i64)r * columns + c;
      double normal = (x.at(i) - m) * scale;
      double off = meanOff * scale + fabs(normal) * (relative + 4 * U);
      double kept = (x.at(i) - keptMean) * keptScale;
      for (int k = 0; k < sets; k++) {
        nearRounded<T>(out[k].at(i), normal * w[k].at(c) + b[k].at(c),
            fabs(w[k].at(c)) * off + 2 * U * fabs(b[k].at(c)), "out", i);
        double g = w[k].at(c) * d[k].at(i);
        averages[k][0] += g / columns;
        averages[k][1] += g * kept / columns;
        sizes[k][0] += fabs(g) / columns;
        sizes[k][1] += fabs(g * kept) / columns;
        weights[k * columns + c] += d[k].at(i) * kept;
        biases[k * columns + c] += d[k].at(i);
        weightOff[k * columns + c] += (rows + 4) * U * fabs(d[k].at(i) * kept);
        biasOff[k * columns + c] += (rows + 4) * U * fabs(d[k].at(i));
      }
    }
    for (int c = 0; c < columns; c++) {
      i64 i = (i64)r * columns + c;
      double kept = (x.at(i) - keptMean) * keptScale, y = residual.at(i), bound = U * fabs(y);
      for (int k = 0; k < sets; k++) {
        double g = w[k].at(c) * d[k].at(i);
        y += keptScale * (g - averages[k][0] - kept * averages[k][1]);
        bound += (length + 6) * U * keptScale * (fabs(g) + sizes[k][0] + fabs(kept) * sizes[k][1]);
      }
      nearRounded<T>(dx.at(i), y, bound, "dx", i);
    }
  }
  u64 h = hash(hash(hash(0, mean), rstd), dx);
  for (int k = 0; k < sets; k++) {
    for (int c = 0; c < columns; c++) {
      near(once[2 * k][c], weights[k * columns + c], weightOff[k * columns + c] * 1.01 + 1e-40, "dWeight", c);
      near(once[2 * k + 1][c], biases[k * columns + c], biasOff[k * columns + c] * 1.01 + 1e-40, "dBias", c);
    }
    h = hash(hash(hash(h, out[k]), sums[2 * k]), sums[2 * k + 1]);
  }
  Array<float> plain((i64)groups * columns), dBias(columns);
  float* none = nullptr;
  launch(std::string("castalia_bias_groups_") + typeName<T>(), {up(columns, 128), groups}, 64, 0, plain.data(),
      d1, rows, columns);
  launch("castalia_fold_groups_f32", {up(columns, 128), 1}, 128, 0, dBias.data(), none, none, none,
      (const float*)plain.data(), groups, columns, 0);
  for (int c = 0; c < columns; c++) {
    same(dBias, c, once[1][c], "dBias alone");
  }
  return h;
}

template <typename T>
void allNorms() {
  for (int columns : {1, 3, 16, 20, 67, 128, 520, 1024, 1032, 2049, 5120}) {
    for (int rows : {1, 7, 129, 300}) {
      if (rows > 7 && columns > 128 && !(rows == 129 && columns == 1032)) {
        continue;
      }
      for (int two = 0; two < 2; two++) {
        eachWay(text("norms of %s, %d x %d, %d", typeName<T>(), rows, columns, two + 1),
            [&] { return norms<T>(rows, columns, two, rows == 7 ? 30 : 0); });
      }
    }
  }
}

// --- Cross-entropy -------------------------------------------------------------------------------

template <typename T>
u64 crossEntropy(int rows, int width, int slices, double deviation) {
  std::vector<Array<float>> logits(slices, Array<float>((i64)rows * width));
  std::vector<Array<float>> maxima(slices, Array<float>(rows)), sums(slices, Array<float>(rows)),
      factors(slices, Array<float>(rows));
  std::vector<Array<T>> gradients(slices, Array<T>((i64)rows * width));
  Array<float> target(rows);
  Array<int> labels(rows);
  Array<double> loss(1);
  std::vector<std::vector<double>> before(slices);
  Buffers<float, 128> factor{};
  Buffers<const float, 128> most{}, total{};
  float scale = 1024.0f / 77;
  for (int r = 0; r < rows; r++) {
    labels[r] = (int)(uniform() * width * slices);
  }
  for (int s = 0; s < slices; s++) {
    logits[s].fill(deviation);
    for (i64 i = 0; i < logits[s].count; i++) {
      before[s].push_back(logits[s].at(i));
    }
    launch("castalia_softmax_partial_f32", {rows}, 512, 0, (const float*)logits[s].data(),
        maxima[s].data(), sums[s].data(), target.data(), (const int*)labels.data(), s * width, rows, width);
    factor.at[s] = factors[s].data();
    most.at[s] = maxima[s].data();
    total.at[s] = sums[s].data();
  }
  Array<double> losses(up(rows, 256));
  launch("castalia_softmax_join_f32", {up(rows, 256)}, 256, 0, losses.data(), factor, most, total, slices,
      (const float*)target.data(), rows);
  launch("castalia_sum_losses_f64", {1}, 256, 0, loss.data(), (const double*)losses.data(),
      (int)losses.count);
  u64 h = hash(hash(0, loss), target);
  for (int s = 0; s < slices; s++) {
    launch(std::string("castalia_softmax_gradient_") + typeName<T>(), {rows, up(width, 2048)}, 256, 0,
        gradients[s].data(), (const float*)logits[s].data(), (const float*)maxima[s].data(),
        (const float*)factors[s].data(), (const int*)labels.data(), scale, s * width, rows, width);
    h = hash(hash(hash(h, logits[s]), gradients[s]), factors[s]);
  }
  double expected = 0;
  for (int r = 0; r < rows; r++) {
    double largest = -1e300, sum = 0;
    for (int s = 0; s < slices; s++) {
      for (int c = 0; c < width; c++) {
        largest = std::max(largest, before[s][(i64)r * width + c]);
      }
    }
    for (int s = 0; s < slices; s++) {
      for (int c = 0; c < width; c++) {
        sum += exp(before[s][(i64)r * width + c] - largest);
      }
    }
    expected += log(sum) + largest - before[labels[r] / width][(i64)r * width + labels[r] % width];
    for (int s = 0; s < slices; s++) {
      for (int c = 0; c < width; c++) {
        i64 i = (i64)r * width + c;
        double below = largest - before[s][i], p = exp(-below) / sum;
        double relative = std::min(below, 110.0) + width * slices / 16.0 + 30;
        nearRounded<T>(gradients[s].at(i), (p - (labels[r] == s * width + c)) * scale,
            scale * U * (4 + p * relative) + scale * 1e-36, "dLogits", i);
      }
    }
  }
  near(loss.at(0), expected, rows * (width * slices / 16.0 + 16) * U + 1e-13 * fabs(expected), "loss", 0);
  return h;
}

// --- Rotary --------------------------------------------------------------------------------------

template <typename T>
u64 rotary(int batch, int sequence, int heads, int dimension, int rotated) {
  i64 count = 3LL * batch * sequence * heads * dimension;
  Array<T> qkv(count);
  Array<float> table((i64)sequence * rotated);
  qkv.fill();
  table.fill();
  std::vector<T> before(qkv.data(), qkv.data() + count);
  i64 pairs = (i64)batch * sequence * heads * rotated;
  for (int inverse = 0; inverse < 2; inverse++) {
    std::vector<T> from(qkv.data(), qkv.data() + count);
    launch(std::string("castalia_rotary_") + typeName<T>(), {up(pairs, 256)}, 256, 0, qkv.data(),
        (const float*)table.data(), inverse, batch, sequence, heads, dimension, rotated);
    for (i64 i = 0; i < count; i++) {
      int d = i % dimension, part = i / dimension % 3, half = rotated / 2;
      int position = i / dimension / 3 / heads % sequence;
      if (part == 2 || d >= rotated) {
        same(qkv, i, from[i], "not rotated");
        continue;
      }
      float cosine = table[position * rotated + d % half], sine = table[position * rotated + half + d % half];
      sine = inverse ? -sine : sine;
      float own = widen(from[i]), other = widen(from[d < half ? i + half : i - half]);
      float y = d < half ? own * cosine - other * sine : own * cosine + other * sine;
      same(qkv, i, narrow<T>(y), "rotated");
    }
  }
  return hash(0, qkv);
}

template <typename T>
void others() {
  for (i64 count : {1, 2, 3, 16, 17, 67, 131, 1000, 4099}) {
    eachWay(text("optimizer %s, %lld", typeName<T>(), count), [&] { return optimizer<T>(count); });
  }
  eachWay(text("initial values %s", typeName<T>()), [&] { return initial<T>(); });
  for (int columns : {1, 8, 67, 1032}) {
    for (int rows : {1, 40, 300}) {
      eachWay(text("embedding %s, %d x %d", typeName<T>(), rows, columns),
          [&] { return embeddings<T>(rows, columns); });
    }
  }
  for (int width : {1, 20, 67, 4300, 18100}) {
    for (int slices : {1, 2, 3, 8, 16}) {
      for (double deviation : {1.0, 3000.0}) {
        int rows = width > 100 ? 2 : 5;
        if (width * slices > 20000 || (width == 1 && slices == 1)) {
          continue;
        }
        eachWay(text("cross-entropy %s, %d x %d x %d, deviation %g", typeName<T>(), rows, slices, width,
                    deviation),
            [&] { return crossEntropy<T>(rows, width, slices, deviation); });
      }
    }
  }
  eachWay("many rows", [] { return crossEntropy<T>(300, 3, 1, 1); });
  eachWay("rotary", [] { return rotary<T>(2, 7, 3, 20, 10); });
  eachWay("rotary", [] { return rotary<T>(1, 9, 2, 64, 16); });
}

}  // namespace

// Names families to test only those.
int main(int count, char** names) {
  auto chosen = [&](const char* name) {
    bool any = count == 1;
    for (int i = 1; i < count; i++) {
      any = any || strcmp(names[i], name) == 0;
    }
    return any;
  };
  if (chosen("pointwise")) {
    pointwises<float>();
    pointwises<bf16>();
    pointwises<f16>();
    eachWay("casts to bf16", casts<bf16>);
    eachWay("casts to f16", casts<f16>);
    family("pointwise");
  }
  if (chosen("norms")) {
    allNorms<float>();
    allNorms<bf16>();
    allNorms<f16>();
    family("norms");
  }
  if (chosen("others")) {
    others<float>();
    others<bf16>();
    others<f16>();
    family("others");
  }
  if (chosen("attention")) {
    attentions<bf16>();
    attentions<f16>();
    attentions<float>();
    family("attention");
  }
  return 0;
}
