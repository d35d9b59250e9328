// The matrix instructions and asynchronous copies of mma.cuh, emulated. Test code.
#ifndef CASTALIA_SHIM_MMA_H
#define CASTALIA_SHIM_MMA_H

namespace shim {

template <typename T>
inline float half(unsigned pair, int which) {
  return widen(T{static_cast<unsigned short>(pair >> 16 * which)});
}

template <typename T>
struct Mma {
  float* c;
  const unsigned* a;
  const unsigned* b;

  // Products are exact in F32; sums run over ascending k, rounded each.
  static void work(void** operands, unsigned mask) {
    float a[16][16], b[8][16], c[16][8];
    if (mask != 0xFFFFFFFFu) {
      abort();
    }
    for (int l = 0; l < 32; l++) {
      const Mma& own = *static_cast<Mma*>(operands[l]);
      int g = l / 4, t = 2 * (l % 4);
      for (int i = 0; i < 2; i++) {
        a[g][t + i] = half<T>(own.a[0], i);
        a[g + 8][t + i] = half<T>(own.a[1], i);
        a[g][t + 8 + i] = half<T>(own.a[2], i);
        a[g + 8][t + 8 + i] = half<T>(own.a[3], i);
        b[g][t + i] = half<T>(own.b[0], i);
        b[g][t + 8 + i] = half<T>(own.b[1], i);
        c[g][t + i] = own.c[i];
        c[g + 8][t + i] = own.c[2 + i];
      }
    }
    for (int row = 0; row < 16; row++) {
      for (int k = 0; k < 16; k++) {
        for (int column = 0; column < 8; column++) {
          c[row][column] += a[row][k] * b[column][k];
        }
      }
    }
    for (int l = 0; l < 32; l++) {
      const Mma& own = *static_cast<Mma*>(operands[l]);
      int g = l / 4, t = 2 * (l % 4);
      for (int i = 0; i < 2; i++) {
        own.c[i] = c[g][t + i];
        own.c[2 + i] = c[g + 8][t + i];
      }
    }
  }
};

struct Matrices {
  unsigned* to;
  const void* row;

  template <bool TRANSPOSED>
  static void work(void** operands, unsigned mask) {
    if (mask != 0xFFFFFFFFu) {
      abort();
    }
    for (int m = 0; m < 4; m++) {
      unsigned short at[8][8];
      for (int r = 0; r < 8; r++) {
        const void* row = static_cast<Matrices*>(operands[8 * m + r])->row;
        requireShared(row, 16);
        memcpy(at[r], row, 16);
      }
      for (int l = 0; l < 32; l++) {
        int g = l / 4, t = 2 * (l % 4);
        unsigned low = TRANSPOSED ? at[t][g] : at[g][t];
        unsigned high = TRANSPOSED ? at[t + 1][g] : at[g][t + 1];
        static_cast<Matrices*>(operands[l])->to[m] = low | high << 16;
      }
    }
  }
};

}  // namespace shim

template <typename T>
void mma(float* c, const unsigned* a, const unsigned* b) {
  shim::Mma<T> mine{c, a, b};
  shim::meet(0xFFFFFFFFu, shim::Mma<T>::work, &mine);
}

inline void loadMatrices(unsigned* to, const void* row) {
  shim::Matrices mine{to, row};
  shim::meet(0xFFFFFFFFu, shim::Matrices::work<false>, &mine);
}

inline void loadTransposed(unsigned* to, const void* row) {
  shim::Matrices mine{to, row};
  shim::meet(0xFFFFFFFFu, shim::Matrices::work<true>, &mine);
}

inline void copy16(void* to, const void* from, bool valid) {
  shim::requireShared(to, 16);
  shim::requireAligned(from, 16);
  shim::copyAsync(to, valid ? from : nullptr, 16);
}

inline void commitCopies() { shim::commitAsync(); }

template <int GROUPS>
void waitCopies() {
  shim::waitAsync(GROUPS);
}

template <typename T>
unsigned pack(float low, float high) {
  return narrow<T>(low).bits | static_cast<unsigned>(narrow<T>(high).bits) << 16;
}

inline float power2(float x) {
  float y = exp2f(x);
  return y < 0x1p-126f ? 0.0f : y;
}

#endif
