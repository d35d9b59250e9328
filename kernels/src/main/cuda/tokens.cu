// Rows by token: embedding forward and backward, selection of rows.
#include "common.cuh"

// The row of a slice's vocabulary that a token names, or -1.
__device__ __forceinline__ int rowOf(int token, int first, int vocabulary) {
  i64 row = (i64)token - first;
  return row >= 0 && row < vocabulary ? (int)row : -1;
}

// castalia_embedding_T(T* out, const int* tokens, const T* weight, int first, int rows,
// int columns, int vocabulary): looks rows up; a negative zero becomes a positive one; rows whose
// token lies elsewhere stay. Grid min(rows, 2^20), block 128.
template <typename T>
__device__ __forceinline__ void embedding(T* out, const int* tokens, const T* weight, int first,
                                          int rows, int columns, int vocabulary) {
  bool vector = wide(out) && wide(weight) && columns % 8 == 0;
  for (i64 r = blockIdx.x; r < rows; r += gridDim.x) {
    int row = rowOf(tokens[r], first, vocabulary);
    if (row < 0) {
      continue;
    }
    const T* from = weight + (i64)row * columns;
    for (int c = 8 * threadIdx.x; c < columns; c += 8 * blockDim.x) {
      float values[8];
      load8(values, from, c, columns, vector);
#pragma unroll
      for (int i = 0; i < 8; i++) {
        values[i] = values[i] + 0.0f;
      }
      store8(out + r * columns, values, c, columns, vector);
    }
  }
}

#define EMBEDDING(name, T)                                                                        \
  KERNEL(castalia_embedding_##name, (T* out, const int* tokens, const T* weight, int first,       \
      int rows, int columns, int vocabulary)) {                                                   \
    embedding(out, tokens, weight, first, rows, columns, vocabulary);                             \
  }
FOR_EACH_TYPE(EMBEDDING)

// castalia_select_rows_T(T* out, const T* x, const int* tokens, int first, int rows, int columns,
// int vocabulary): copies, bit for bit, the rows whose token lies in the slice. Grid
// min(rows, 2^20), block 128.
template <typename T>
__device__ __forceinline__ void selectRows(T* out, const T* x, const int* tokens, int first,
                                           int rows, int columns, int vocabulary) {
  bool vector = wide(out) && wide(x) && columns % 8 == 0;
  for (i64 r = blockIdx.x; r < rows; r += gridDim.x) {
    if (rowOf(tokens[r], first, vocabulary) < 0) {
      continue;
    }
    i64 row = r * columns;
    for (int c = 8 * threadIdx.x; c < columns; c += 8 * blockDim.x) {
      if (vector) {
        *(Eight<T>*)(out + row + c) = *(const Eight<T>*)(x + row + c);
      } else {
        for (int i = c; i < c + 8 && i < columns; i++) {
          out[row + i] = x[row + i];
        }
      }
    }
  }
}

#define SELECT_ROWS(name, T)                                                                      \
  KERNEL(castalia_select_rows_##name, (T* out, const T* x, const int* tokens, int first,          \
      int rows, int columns, int vocabulary)) {                                                   \
    selectRows(out, x, tokens, first, rows, columns, vocabulary);                                 \
  }
FOR_EACH_TYPE(SELECT_ROWS)

// castalia_embedding_backward_T(float* dWeight, const T* dOut, const int* tokens, int first,
// int rows, int columns, int vocabulary): adds rows of dOut (R, C) to their token's row of dWeight,
// in ascending order. Zero dWeight before, where it does not accumulate. Grid (rows,
// ceil(columns / 1024)), block 256: the block of a token's first row gathers all of its rows, the
// others end. No row of dWeight has two writers, so no order is left open.
template <typename T>
__device__ __forceinline__ void embeddingBackward(float* dWeight, const T* dOut, const int* tokens,
                                                  int first, int rows, int columns,
                                                  int vocabulary) {
  __shared__ int list[256];
  __shared__ int counts[8];
  int own = blockIdx.x;
  int token = tokens[own];
  int row = rowOf(token, first, vocabulary);
  if (row < 0) {
    return;  // the whole block
  }
  int warp = threadIdx.x / 32;
  int lane = threadIdx.x % 32;
  // Backwards: a token that is frequent was seen not long ago.
  for (int end = own; end > 0; end -= 2048) {
    int earlier = 0;
#pragma unroll
    for (int i = 0; i < 8; i++) {
      int r = end - 1 - 256 * i - (int)threadIdx.x;
      earlier |= r >= 0 && tokens[r] == token;
    }
    unsigned votes = __ballot_sync(0xFFFFFFFFu, earlier);
    if (lane == 0) {
      counts[warp] = votes != 0;
    }
    __syncthreads();
    bool any = false;
    for (int i = 0; i < 8; i++) {
      any = any || counts[i] != 0;
    }
    if (any) {
      return;  // the whole block: all read the same
    }
    __syncthreads();  // the counts were read
  }
  int column = blockIdx.y * 1024 + threadIdx.x;
  float sum[4];
  float* to = dWeight + (i64)row * columns;
#pragma unroll
  for (int i = 0; i < 4; i++) {
    sum[i] = column + 256 * i < columns ? to[column + 256 * i] : 0.0f;
  }
  for (int from = own; from < rows; from += 256) {
    int r = from + threadIdx.x;
    bool found = r < rows && tokens[r] == token;
    unsigned mine = __ballot_sync(0xFFFFFFFFu, found);
    __syncthreads();  // the list and the counts were read
    if (lane == 0) {
      counts[warp] = __popc(mine);
    }
    __syncthreads();
    int before = 0, all = 0;
    for (int i = 0; i < 8; i++) {
      before += i < warp ? counts[i] : 0;
      all += counts[i];
    }
    if (found) {
      list[before + __popc(mine & ((1u << lane) - 1))] = r;
    }
    __syncthreads();
#pragma unroll 4
    for (int k = 0; k < all; k++) {
      const T* d = dOut + (i64)list[k] * columns;
#pragma unroll
      for (int i = 0; i < 4; i++) {
        if (column + 256 * i < columns) {
          sum[i] = sum[i] + widen(d[column + 256 * i]);
        }
      }
    }
  }
#pragma unroll
  for (int i = 0; i < 4; i++) {
    if (column + 256 * i < columns) {
      to[column + 256 * i] = sum[i];
    }
  }
}

#define EMBEDDING_BACKWARD(name, T)                                                               \
  KERNEL(castalia_embedding_backward_##name, (float* dWeight, const T* dOut, const int* tokens,   \
      int first, int rows, int columns, int vocabulary)) {                                        \
    embeddingBackward(dWeight, dOut, tokens, first, rows, columns, vocabulary);                   \
  }
FOR_EACH_TYPE(EMBEDDING_BACKWARD)
