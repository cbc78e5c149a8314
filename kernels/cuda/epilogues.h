/* What stands around a library's product where the library does not do it itself: adding a bias,
 * the gradient before a ReLU. Bound by memory. */
#ifndef KERNELS_CUDA_EPILOGUES_H
#define KERNELS_CUDA_EPILOGUES_H

#include "kernels/cuda/vector.h"

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
      v.v[k] += load(bias + column + k);
      if (relu && v.v[k] < 0) v.v[k] = 0;
    }
    store_lanes<N>(y + i * N, v);
  }
}

/* y (rows, width) += bias (width) of its type, then perhaps max(y, 0) */
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

template <typename T, typename To>
static __global__ void __launch_bounds__(EPILOGUE_THREADS)
    mask_gradient(int64_t count, const T *y, const T *dy, To *g) {
  int64_t step = (int64_t)gridDim.x * EPILOGUE_THREADS;
  for (int64_t i = (int64_t)blockIdx.x * EPILOGUE_THREADS + threadIdx.x; i < count; i += step)
    store(g + i, load(y + i) > 0 ? load(dy + i) : 0);
}

/* g (of type `to`) = dy where y is positive; y and dy have one type. */
static inline void relu_gradient(void *stream, int64_t count, DType type, const void *y,
                                 const void *dy, DType to, void *g) {
  with_type(type, [&](auto from_zero) {
    with_type(to, [&](auto to_zero) {
      using T = decltype(from_zero);
      using To = decltype(to_zero);
      LAUNCH((mask_gradient<T, To>),
             grid_blocks(mask_gradient<T, To>, EPILOGUE_THREADS, 0, count / EPILOGUE_THREADS + 1),
             EPILOGUE_THREADS, 0, stream, count, static_cast<const T *>(y),
             static_cast<const T *>(dy), static_cast<To *>(g));
    });
  });
}

#endif
