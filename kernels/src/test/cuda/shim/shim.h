// Compiles device code for the host: each CUDA thread is a fiber, blocks run one after another.
// Barriers, shuffles and the matrix instructions are meetings of fibers; a block that cannot move on
// is reported. Test code.
#ifndef CASTALIA_SHIM_H
#define CASTALIA_SHIM_H

#include <cmath>
#include <cstdlib>
#include <cstring>
#include <utility>

#define __global__
#define __device__
#define __host__
#define __forceinline__ inline
#define __launch_bounds__(...)
// Blocks of one host thread run one after another, so its threads share what is the thread's own.
#define __shared__ static __thread

struct uint4 {
  unsigned x, y, z, w;
};

struct uint2 {
  unsigned x, y;
};

namespace shim {

struct Extent {
  unsigned x, y, z;
};

using Thunk = void (*)(void (*)(), void**);

// Puts a kernel into the list.
void enlist(const char* name, void (*kernel)(), Thunk thunk, int arguments, const int* bytes);

template <typename... A, size_t... I>
void call(void (*kernel)(A...), void** params, std::index_sequence<I...>) {
  kernel(*static_cast<A*>(params[I])...);
}

struct Enlisted {
  template <typename... A>
  Enlisted(const char* name, void (*kernel)(A...)) {
    static const int bytes[] = {static_cast<int>(sizeof(A))..., 0};
    Thunk thunk = [](void (*erased)(), void** params) {
      call(reinterpret_cast<void (*)(A...)>(erased), params, std::index_sequence_for<A...>());
    };
    enlist(name, reinterpret_cast<void (*)()>(kernel), thunk, sizeof...(A), bytes);
  }
};

// The block's dynamic shared memory.
unsigned char* dynamicShared();

void syncthreads();

// A meeting of a warp's lanes: the last to arrive performs the work on all lanes' operands. Lanes of
// the mask must bring the same work.
using Work = void (*)(void** operands, unsigned mask);
void meet(unsigned mask, Work work, void* operands);

// The lane of the running fiber.
int lane();

// Asynchronous copies: done when waited for, so that a missing wait shows.
void copyAsync(void* to, const void* from, int bytes);
void commitAsync();
void waitAsync(int groups);

// Ends the launch unless [pointer, pointer + bytes) is aligned and in the dynamic shared memory.
void requireShared(const void* pointer, int bytes);
void requireAligned(const void* pointer, int bytes);

template <typename T>
struct Shuffle {
  T in, out;
  int from;
  static void work(void** operands, unsigned mask) {
    for (int i = 0; i < 32; i++) {
      if (mask >> i & 1) {
        Shuffle* own = static_cast<Shuffle*>(operands[i]);
        int from = own->from;
        // Reading an absent lane gives garbage on a device: all bits set here.
        if (mask >> from & 1) {
          own->out = static_cast<Shuffle*>(operands[from])->in;
        } else {
          memset(&own->out, 0xFF, sizeof(T));
        }
      }
    }
  }
};

template <typename T>
T shuffle(unsigned mask, T value, int from) {
  Shuffle<T> mine{value, value, from & 31};
  meet(mask, Shuffle<T>::work, &mine);
  return mine.out;
}

struct Ballot {
  int predicate;
  unsigned out;
  static void work(void** operands, unsigned mask);
};

}  // namespace shim

extern __thread shim::Extent threadIdx, blockIdx, blockDim, gridDim;

inline void __syncthreads() { shim::syncthreads(); }

void __syncwarp(unsigned mask = 0xFFFFFFFFu);

template <typename T>
T __shfl_sync(unsigned mask, T value, int from) {
  return shim::shuffle(mask, value, from);
}

template <typename T>
T __shfl_xor_sync(unsigned mask, T value, int bits) {
  return shim::shuffle(mask, value, shim::lane() ^ bits);
}

unsigned __ballot_sync(unsigned mask, int predicate);

inline int __popc(unsigned x) { return __builtin_popcount(x); }

inline unsigned __float_as_uint(float x) {
  unsigned bits;
  memcpy(&bits, &x, 4);
  return bits;
}

inline float __uint_as_float(unsigned bits) {
  float x;
  memcpy(&x, &bits, 4);
  return x;
}

inline long long __double_as_longlong(double x) {
  long long bits;
  memcpy(&bits, &x, 8);
  return bits;
}

inline double __longlong_as_double(long long bits) {
  double x;
  memcpy(&x, &bits, 8);
  return x;
}

// Only integers are added atomically: their sums have no order.
inline unsigned long long atomicAdd(unsigned long long* to, unsigned long long x) {
  unsigned long long before = *to;
  *to = before + x;
  return before;
}

template <typename T>
T min(T a, T b) {
  return b < a ? b : a;
}

template <typename T>
T max(T a, T b) {
  return a < b ? b : a;
}

#endif
