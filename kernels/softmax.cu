/* Softmax over the last axis: 4 to 32 lanes a row, as the row is wide; later passes over a row come
 * from L1. Bound by memory: forward reads x and writes y, backward reads x and dy and writes dx. */
#include "kernels/cuda/vector.h"
#include "kernels/cuda/warp.h"

#include <type_traits>

static constexpr int THREADS = 256;

/* Largest element and sum of exponentials of a row that W lanes share. */
template <int W, typename T>
static __device__ __forceinline__ float row_sum(const T *x, int columns, float *top) {
  int lane = threadIdx.x % W;
  float most = -INFINITY, sum = 0;
  for (int c = lane; c < columns; c += W) most = fmaxf(most, load(x + c));
  *top = most = warp_max<W>(most);
  for (int c = lane; c < columns; c += W) sum += expf(load(x + c) - most);
  return warp_sum<W>(sum);
}

/* Rows past the last are computed as the last one and not written: whole warps stay together. */
template <typename T, int W>
static __global__ void __launch_bounds__(THREADS)
    soften(int64_t rows, int columns, int kept, const T *in, T *out) {
  constexpr int ROWS = THREADS / W;
  for (int64_t first = (int64_t)blockIdx.x * ROWS; first < rows;
       first += (int64_t)gridDim.x * ROWS) {
    int64_t own = first + threadIdx.x / W, row = min(own, rows - 1);
    const T *x = in + row * columns;
    float top, sum = row_sum<W>(x, columns, &top), scale = 1 / sum;
    if (own < rows)
      for (int c = threadIdx.x % W; c < kept; c += W)
        store(out + row * kept + c, expf(load(x + c) - top) * scale);
  }
}

template <typename T, int W>
static __global__ void __launch_bounds__(THREADS)
    differentiate(int64_t rows, int columns, int kept, const T *in, const T *dout, T *din) {
  constexpr int ROWS = THREADS / W;
  for (int64_t first = (int64_t)blockIdx.x * ROWS; first < rows;
       first += (int64_t)gridDim.x * ROWS) {
    int64_t own = first + threadIdx.x / W, row = min(own, rows - 1);
    const T *x = in + row * columns, *dy = dout + row * kept;
    float top, sum = row_sum<W>(x, columns, &top), scale = 1 / sum, mean = 0;
    for (int c = threadIdx.x % W; c < kept; c += W)
      mean += load(dy + c) * (expf(load(x + c) - top) * scale);
    mean = warp_sum<W>(mean);
    if (own < rows)
      for (int c = threadIdx.x % W; c < columns; c += W)
        store(din + row * columns + c,
              expf(load(x + c) - top) * scale * ((c < kept ? load(dy + c) : 0) - mean));
  }
}

/* Calls launch(zero of the storage type, lanes a row), as constants. */
template <typename F> static void with_rows(const Tensor *x, F launch) {
  int64_t columns = tensor_last(x);
  with_type(x->type, [&](auto zero) {
    if (columns <= 4)
      launch(zero, std::integral_constant<int, 4>());
    else if (columns <= 16)
      launch(zero, std::integral_constant<int, 8>());
    else
      launch(zero, std::integral_constant<int, 32>());
  });
}

static void forward(const Call *call) {
  const Tensor *x = &call->in[0], *y = &call->out[0];
  int64_t rows = tensor_rows(x);
  with_rows(x, [&](auto zero, auto lanes) {
    using T = decltype(zero);
    constexpr int W = decltype(lanes)::value;
    unsigned grid = grid_blocks(soften<T, W>, THREADS, 0, rows * W / THREADS + 1);
    LAUNCH((soften<T, W>), grid, THREADS, 0, call->stream, rows, (int)tensor_last(x),
           (int)tensor_last(y), data_of<const T>(x), data_of<T>(y));
  });
}

static void backward(const Call *call) {
  const Tensor *x = &call->in[0], *dy = &call->dout[0], *dx = &call->din[0];
  int64_t rows = tensor_rows(x);
  if (!dx->data) return;
  with_rows(x, [&](auto zero, auto lanes) {
    using T = decltype(zero);
    constexpr int W = decltype(lanes)::value;
    unsigned grid = grid_blocks(differentiate<T, W>, THREADS, 0, rows * W / THREADS + 1);
    LAUNCH((differentiate<T, W>), grid, THREADS, 0, call->stream, rows, (int)tensor_last(x),
           (int)tensor_last(dy), data_of<const T>(x), data_of<const T>(dy), data_of<T>(dx));
  });
}

CUDA_KERNEL(softmax) = {.forward = forward,
                        .backward = backward,
                        .bf16 = SAVES_IN(0) | SAVES_OUT(0),
                        .bf16_together = true};
