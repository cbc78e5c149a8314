/* Average pooling: a thread a voxel and a vector of channels; bound by memory. */
#include "kernels/cuda/windows.h"

static constexpr int THREADS = 256;

template <typename T, int N>
static __global__ void __launch_bounds__(THREADS) average(Windows w, const T *x, T *y) {
  int lanes = w.channels / N;
  float share = 1.f / (float)(w.factor[0] * w.factor[1] * w.factor[2]);
  int64_t first = (int64_t)blockIdx.x * THREADS + threadIdx.x, step = (int64_t)gridDim.x * THREADS;
  for (int64_t i = first; i < w.rows * lanes; i += step) {
    int64_t row = i / lanes;
    int c = (int)(i % lanes) * N;
    Floats<N> sum = {};
    window_visit(w, window_start(w, row), [&](int64_t at) {
      Floats<N> v = load_lanes<N>(x + at * w.channels + c);
#pragma unroll
      for (int k = 0; k < N; k++) sum.v[k] += v.v[k];
    });
#pragma unroll
    for (int k = 0; k < N; k++) sum.v[k] *= share;
    store_lanes<N>(y + row * w.channels + c, sum);
  }
}

/* A thread a voxel of the input, so that neighbours write to neighbours. */
template <typename T, int N>
static __global__ void __launch_bounds__(THREADS)
    spread(Windows w, int64_t items, const T *dy, bool adds, T *dx) {
  int lanes = w.channels / N;
  float share = 1.f / (float)(w.factor[0] * w.factor[1] * w.factor[2]);
  int64_t first = (int64_t)blockIdx.x * THREADS + threadIdx.x, step = (int64_t)gridDim.x * THREADS;
  for (int64_t i = first; i < items; i += step) {
    int64_t row = i / lanes;
    int c = (int)(i - row * lanes) * N;
    Floats<N> d = load_lanes<N>(dy + window_of(w, row) * w.channels + c), sum = {};
    if (adds) sum = load_lanes<N>(dx + row * w.channels + c);
#pragma unroll
    for (int k = 0; k < N; k++) sum.v[k] += share * d.v[k];
    store_lanes<N>(dx + row * w.channels + c, sum);
  }
}

static void forward(const Call *call) {
  const Tensor *x = &call->in[0], *y = &call->out[0];
  with_lanes(x, x->data, y->data, NULL, [&](auto zero, auto lanes) {
    using T = decltype(zero);
    constexpr int N = decltype(lanes)::value;
    LAUNCH_EACH((average<T, N>), THREADS, tensor_count(y) / N, call->stream, windows_of(call),
                data_of<const T>(x), data_of<T>(y));
  });
}

static void backward(const Call *call) {
  const Tensor *dy = &call->dout[0], *dx = &call->din[0];
  if (!dx->data || !dy->data) {
    zero_gradients(call);
    return;
  }
  with_lanes(dy, dy->data, dx->data, NULL, [&](auto zero, auto lanes) {
    using T = decltype(zero);
    constexpr int N = decltype(lanes)::value;
    int64_t items = tensor_count(dx) / N;
    LAUNCH_EACH((spread<T, N>), THREADS, items, call->stream, windows_of(call), items,
                data_of<const T>(dy), adds_to(call, 0), data_of<T>(dx));
  });
}

CUDA_KERNEL(avg_pool) = {.forward = forward,
                         .backward = backward,
                         .bf16 = SAVES_IN(0) | SAVES_OUT(0),
                         .bf16_together = true,
                         .adds = SAVES_IN(0)};
