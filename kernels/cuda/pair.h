/* Two token matrices beside each other in one: joined, or one split into two, which may be added to
 * what is there. One launch; by units of eight numbers. Bound by memory. */
#ifndef KERNELS_CUDA_PAIR_H
#define KERNELS_CUDA_PAIR_H

#include "kernels/cuda/rows.h"

namespace {
/* (rows, width[i]) each. data[i] NULL: not wanted of a split. */
template <typename T> struct Pair {
  T *data[2];
  int width[2];
  bool adds[2];
};
} // namespace

template <typename T, bool JOIN>
static __global__ void __launch_bounds__(ROWS_THREADS)
    pair_move(int64_t rows, Pair<T> pair, T *whole) {
  int first = pair.width[0] / ROWS_UNIT, across = first + pair.width[1] / ROWS_UNIT;
  int64_t items = rows * across, step = (int64_t)gridDim.x * ROWS_THREADS;
  for (int64_t i = (int64_t)blockIdx.x * ROWS_THREADS + threadIdx.x; i < items; i += step) {
    int64_t row = i / across;
    int unit = (int)(i - row * across);
    bool second = unit >= first; /* no index: the compiler would copy the pair to memory for it */
    T *part = second ? pair.data[1] : pair.data[0];
    if (!part) continue;
    int width = second ? pair.width[1] : pair.width[0];
    part += row * width + (second ? unit - first : unit) * ROWS_UNIT;
    float v[ROWS_UNIT], there[ROWS_UNIT];
    load_unit(JOIN ? part : whole + i * ROWS_UNIT, v);
    if (!JOIN && (second ? pair.adds[1] : pair.adds[0])) {
      load_unit(part, there);
#pragma unroll
      for (int j = 0; j < ROWS_UNIT; j++) v[j] += there[j];
    }
    store_unit(JOIN ? whole + i * ROWS_UNIT : part, v);
  }
}

template <typename T> static inline bool pair_fits(const Pair<T> &pair, const void *whole) {
  return (pair.width[0] | pair.width[1]) % ROWS_UNIT == 0 &&
         vectors_fit(0, 0, pair.data[0], pair.data[1], whole);
}

template <typename T, bool JOIN>
static inline void pair_run(void *stream, int64_t rows, const Pair<T> &pair, T *whole) {
  int64_t blocks = rows * (pair.width[0] + pair.width[1]) / ROWS_UNIT / ROWS_THREADS + 1;
  LAUNCH((pair_move<T, JOIN>), grid_blocks(pair_move<T, JOIN>, ROWS_THREADS, 0, blocks),
         ROWS_THREADS, 0, stream, rows, pair, whole);
}

#endif
