/* Maximum pooling: a thread a voxel of the output and a vector of channels; bound by memory. The
 * gradient looks for the first maximum again and writes its whole window, zeros included. */
#include "kernels/cuda/windows.h"

static constexpr int THREADS = 256;

template <typename T, int N>
static __global__ void __launch_bounds__(THREADS) maximum(Windows w, const T *x, T *y) {
  int lanes = w.channels / N;
  int64_t first = (int64_t)blockIdx.x * THREADS + threadIdx.x, step = (int64_t)gridDim.x * THREADS;
  for (int64_t i = first; i < w.rows * lanes; i += step) {
    int64_t row = i / lanes, start = window_start(w, row);
    int c = (int)(i % lanes) * N;
    Floats<N> best = load_lanes<N>(x + start * w.channels + c);
    window_visit(w, start, [&](int64_t at) {
      Floats<N> v = load_lanes<N>(x + at * w.channels + c);
#pragma unroll
      for (int k = 0; k < N; k++) best.v[k] = v.v[k] > best.v[k] ? v.v[k] : best.v[k];
    });
    store_lanes<N>(y + row * w.channels + c, best);
  }
}

template <typename T, int N>
static __global__ void __launch_bounds__(THREADS)
    to_maximum(Windows w, const T *x, const T *dy, T *dx) {
  int lanes = w.channels / N;
  int64_t first = (int64_t)blockIdx.x * THREADS + threadIdx.x, step = (int64_t)gridDim.x * THREADS;
  for (int64_t i = first; i < w.rows * lanes; i += step) {
    int64_t row = i / lanes, start = window_start(w, row), place[N];
    int c = (int)(i % lanes) * N;
    Floats<N> best = load_lanes<N>(x + start * w.channels + c);
    Floats<N> d = load_lanes<N>(dy + row * w.channels + c);
#pragma unroll
    for (int k = 0; k < N; k++) place[k] = start;
    window_visit(w, start, [&](int64_t at) {
      Floats<N> v = load_lanes<N>(x + at * w.channels + c);
#pragma unroll
      for (int k = 0; k < N; k++)
        if (v.v[k] > best.v[k]) {
          best.v[k] = v.v[k];
          place[k] = at;
        }
    });
    window_visit(w, start, [&](int64_t at) {
      Floats<N> here;
#pragma unroll
      for (int k = 0; k < N; k++) here.v[k] = place[k] == at ? d.v[k] : 0;
      store_lanes<N>(dx + at * w.channels + c, here);
    });
  }
}

static void forward(const Call *call) {
  const Tensor *x = &call->in[0], *y = &call->out[0];
  with_lanes(x, x->data, y->data, NULL, [&](auto zero, auto lanes) {
    using T = decltype(zero);
    constexpr int N = decltype(lanes)::value;
    LAUNCH_EACH((maximum<T, N>), THREADS, tensor_count(y) / N, call->stream, windows_of(call),
                data_of<const T>(x), data_of<T>(y));
  });
}

static void backward(const Call *call) {
  const Tensor *x = &call->in[0], *dy = &call->dout[0], *dx = &call->din[0];
  if (!dx->data || !dy->data) {
    zero_gradients(call);
    return;
  }
  with_lanes(x, x->data, dy->data, dx->data, [&](auto zero, auto lanes) {
    using T = decltype(zero);
    constexpr int N = decltype(lanes)::value;
    LAUNCH_EACH((to_maximum<T, N>), THREADS, tensor_count(dy) / N, call->stream, windows_of(call),
                data_of<const T>(x), data_of<const T>(dy), data_of<T>(dx));
  });
}

CUDA_KERNEL(max_pool) = {.forward = forward,
                         .backward = backward,
                         .bf16 = SAVES_IN(0) | SAVES_OUT(0),
                         .bf16_together = true};
