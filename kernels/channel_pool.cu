/* Mean and maximum over channels: a warp a row; bound by memory. The gradient looks for the first
 * maximum again. */
#include "kernels/cuda/vector.h"
#include "kernels/cuda/warp.h"

enum { OUT_MEAN, OUT_MAX, POOLED };
static constexpr int THREADS = 128, ROWS = THREADS / WARP;

template <typename T, int N>
static __global__ void __launch_bounds__(THREADS)
    pool(int64_t rows, int channels, const T *in, T *out) {
  int lane = (int)threadIdx.x % WARP;
  int64_t first = (int64_t)blockIdx.x * ROWS + threadIdx.x / WARP, step = (int64_t)gridDim.x * ROWS;
  for (int64_t row = first; row < rows; row += step) {
    const T *x = in + row * channels;
    float sum = 0, most = load(x);
    for (int c = lane * N; c < channels; c += WARP * N) {
      Floats<N> v = load_lanes<N>(x + c);
#pragma unroll
      for (int k = 0; k < N; k++) {
        sum += v.v[k];
        most = v.v[k] > most ? v.v[k] : most;
      }
    }
    sum = warp_sum(sum);
    most = warp_max(most);
    if (lane > 0) continue;
    store(out + row * POOLED + OUT_MEAN, sum / (float)channels);
    store(out + row * POOLED + OUT_MAX, most);
  }
}

/* Of the channels that a lane sees the first that is larger than those before; then the least of
 * the lanes' where they tie. */
template <typename T, int N>
static __global__ void __launch_bounds__(THREADS)
    spread(int64_t rows, int channels, const T *in, const T *dout, T *din) {
  int lane = (int)threadIdx.x % WARP;
  int64_t first = (int64_t)blockIdx.x * ROWS + threadIdx.x / WARP, step = (int64_t)gridDim.x * ROWS;
  for (int64_t row = first; row < rows; row += step) {
    const T *x = in + row * channels;
    float most = load(x);
    int place = 0;
    for (int c = lane * N; c < channels; c += WARP * N) {
      Floats<N> v = load_lanes<N>(x + c);
#pragma unroll
      for (int k = 0; k < N; k++)
        if (v.v[k] > most) {
          most = v.v[k];
          place = c + k;
        }
    }
    float largest = warp_max(most);
    place = -warp_max(most == largest ? -place : -channels);
    float mean = load(dout + row * POOLED + OUT_MEAN) / (float)channels;
    float more = load(dout + row * POOLED + OUT_MAX);
    for (int c = lane * N; c < channels; c += WARP * N) {
      Floats<N> d;
#pragma unroll
      for (int k = 0; k < N; k++) d.v[k] = mean + (c + k == place ? more : 0);
      store_lanes<N>(din + row * channels + c, d);
    }
  }
}

static void forward(const Call *call) {
  const Tensor *x = &call->in[0];
  int64_t rows = tensor_rows(x);
  with_lanes(x, x->data, NULL, NULL, [&](auto zero, auto lanes) {
    using T = decltype(zero);
    constexpr int N = decltype(lanes)::value;
    LAUNCH((pool<T, N>), grid_blocks(pool<T, N>, THREADS, 0, rows / ROWS + 1), THREADS, 0,
           call->stream, rows, (int)tensor_last(x), data_of<const T>(x), data_of<T>(&call->out[0]));
  });
}

static void backward(const Call *call) {
  const Tensor *x = &call->in[0], *dy = &call->dout[0], *dx = &call->din[0];
  int64_t rows = tensor_rows(x);
  if (!dx->data || !dy->data) {
    zero_gradients(call);
    return;
  }
  with_lanes(x, x->data, dx->data, NULL, [&](auto zero, auto lanes) {
    using T = decltype(zero);
    constexpr int N = decltype(lanes)::value;
    LAUNCH((spread<T, N>), grid_blocks(spread<T, N>, THREADS, 0, rows / ROWS + 1), THREADS, 0,
           call->stream, rows, (int)tensor_last(x), data_of<const T>(x), data_of<const T>(dy),
           data_of<T>(dx));
  });
}

CUDA_KERNEL(channel_pool) = {.forward = forward,
                             .backward = backward,
                             .bf16 = SAVES_IN(0) | SAVES_OUT(0),
                             .bf16_together = true};
