/* What stands around a library's product where the library does not do it itself: adding a bias,
 * the gradient before a ReLU with the sums of its columns. Bound by memory. */
#ifndef KERNELS_CUDA_EPILOGUES_H
#define KERNELS_CUDA_EPILOGUES_H

#include "kernels/cuda/column_sums.h"
#include "kernels/cuda/rows.h"

static constexpr int EPILOGUE_THREADS = 256;

template <typename T, int N>
static __global__ void __launch_bounds__(EPILOGUE_THREADS)
    add_bias(int64_t items, int width, const T *bias, bool relu, T *y) {
  int64_t step = (int64_t)gridDim.x * EPILOGUE_THREADS;
  for (int64_t i = (int64_t)blockIdx.x * EPILOGUE_THREADS + threadIdx.x; i < items; i += step) {
    int column = (int)(i * N % width);
    Floats<N> v = load_lanes<N>(y + i * N);
#pragma unroll
    for (int k = 0; k < N; k++) {
      if (bias) v.v[k] += load(bias + column + k);
      if (relu && v.v[k] < 0) v.v[k] = 0;
    }
    store_lanes<N>(y + i * N, v);
  }
}

/* y (rows, width) += bias (width; or NULL) of its type, then perhaps max(y, 0) */
static inline void bias_add(void *stream, DType type, int64_t rows, int width, const void *bias,
                            bool relu, void *y) {
  with_type(type, [&](auto zero) {
    using T = decltype(zero);
    constexpr int N = Lanes<T>::COUNT;
    int64_t count = rows * width;
    if (vectors_fit(width, sizeof(T), y))
      LAUNCH((add_bias<T, N>),
             grid_blocks(add_bias<T, N>, EPILOGUE_THREADS, 0, count / N / EPILOGUE_THREADS + 1),
             EPILOGUE_THREADS, 0, stream, count / N, width, static_cast<const T *>(bias), relu,
             static_cast<T *>(y));
    else
      LAUNCH((add_bias<T, 1>),
             grid_blocks(add_bias<T, 1>, EPILOGUE_THREADS, 0, count / EPILOGUE_THREADS + 1),
             EPILOGUE_THREADS, 0, stream, count, width, static_cast<const T *>(bias), relu,
             static_cast<T *>(y));
  });
}

/* g = dy, with RELU where y is positive, and its sums over rows: the terms of column_sums, which
 * visits every element once. */
template <typename T, typename To, bool RELU> struct PassedGradient {
  const T *y, *dy;
  To *g;
  int width;
  template <int N>
  __device__ __forceinline__ void at(int64_t, int64_t row, int column, Floats<N> *term) const {
    int64_t i = row * width + column;
    float v[N];
    if constexpr (N == 1) {
      term->v[0] = !RELU || load(y + i) > 0 ? load(dy + i) : 0;
      store(g + i, term->v[0]);
    } else {
      load_unit(dy + i, term->v);
      if constexpr (RELU) {
        load_unit(y + i, v);
#pragma unroll
        for (int k = 0; k < N; k++) term->v[k] = v[k] > 0 ? term->v[k] : 0;
      }
      store_unit(g + i, term->v);
    }
  }
};

template <typename T, typename To, bool RELU>
static inline void gradient_launch(void *stream, int64_t rows, int64_t width, const void *y,
                                   const void *dy, void *g, void *scratch, float *db, bool adds) {
  PassedGradient<T, To, RELU> terms = {static_cast<const T *>(y), static_cast<const T *>(dy),
                                       static_cast<To *>(g), (int)width};
  bool units = width % ROWS_UNIT == 0 && vectors_fit(0, 0, RELU ? y : NULL, dy, g);
  column_sums<1, ROWS_UNIT>(stream, rows, width, units, terms, scratch, ColumnOut<1>{{db}, {adds}});
}

/* g (rows, width) of type `to` = dy of type `from`, where y, of that type too, is positive; y NULL:
 * everywhere. db (width): its sums over the rows, in one walk, with `adds` added to what is there;
 * NULL: not wanted. scratch: column_sums_scratch. */
static inline void gradient_pass(void *stream, int64_t rows, int64_t width, DType from,
                                 const void *y, const void *dy, DType to, void *g, void *scratch,
                                 float *db, bool adds = false) {
  with_type(from, [&](auto from_zero) {
    with_type(to, [&](auto to_zero) {
      using T = decltype(from_zero);
      using To = decltype(to_zero);
      if (y)
        gradient_launch<T, To, true>(stream, rows, width, y, dy, g, scratch, db, adds);
      else
        gradient_launch<T, To, false>(stream, rows, width, y, dy, g, scratch, db, adds);
    });
  });
}

#endif
