/* Maximum over the window around each voxel: a thread a voxel and a vector of channels. The
 * gradient notes in scratch which voxel of its window each maximum is; then a thread a voxel of the
 * input looks through the windows that have it, so that the bits repeat. Bound by the caches. */
#include "kernels/cuda/vector.h"

static constexpr int THREADS = 256;

namespace {
struct Around {
  int64_t rows;
  int dim[3], reach[3]; /* D, H, W; (size - 1) / 2 */
  int channels;
};

/* A voxel: its place, and what of the window around it lies within the map. */
struct Spot {
  int at[3], first[3], end[3];
  int64_t sample; /* its first row */
};
} // namespace

static Around around_of(const Call *call) {
  const WindowMaxOptions *o = static_cast<const WindowMaxOptions *>(call->options);
  Around w = {};
  w.rows = tensor_rows(&call->in[0]);
  w.channels = (int)tensor_last(&call->in[0]);
  for (int a = 0; a < 3; a++) {
    w.dim[a] = (int)call->in[0].dim[1 + a];
    w.reach[a] = o->size.v[a] / 2;
  }
  return w;
}

static __device__ __forceinline__ Spot spot_of(const Around &w, int64_t row) {
  int64_t volume = (int64_t)w.dim[0] * w.dim[1] * w.dim[2];
  Spot s = {{}, {}, {}, row / volume * volume};
  int within = (int)(row - s.sample);
  s.at[2] = within % w.dim[2];
  s.at[1] = within / w.dim[2] % w.dim[1];
  s.at[0] = within / w.dim[2] / w.dim[1];
#pragma unroll
  for (int a = 0; a < 3; a++) {
    s.first[a] = max(s.at[a] - w.reach[a], 0);
    s.end[a] = min(s.at[a] + w.reach[a] + 1, w.dim[a]);
  }
  return s;
}

/* visit(row) for every voxel of the window, in memory order. */
template <typename F>
static __device__ __forceinline__ void visit_window(const Around &w, const Spot &s, F visit) {
  for (int z = s.first[0]; z < s.end[0]; z++)
    for (int y = s.first[1]; y < s.end[1]; y++)
      for (int x = s.first[2]; x < s.end[2]; x++)
        visit(s.sample + ((int64_t)z * w.dim[1] + y) * w.dim[2] + x);
}

/* place NULL: the maxima; else the rows that have them. */
template <typename T, int N>
static __global__ void __launch_bounds__(THREADS) maximum(Around w, const T *x, T *y, int *place) {
  int lanes = w.channels / N;
  int64_t start = (int64_t)blockIdx.x * THREADS + threadIdx.x, step = (int64_t)gridDim.x * THREADS;
  for (int64_t i = start; i < w.rows * lanes; i += step) {
    int64_t row = i / lanes;
    int c = (int)(i - row * lanes) * N, from[N] = {};
    Floats<N> best = {};
    bool none = true;
    visit_window(w, spot_of(w, row), [&](int64_t at) {
      Floats<N> v = load_lanes<N>(x + at * w.channels + c);
#pragma unroll
      for (int k = 0; k < N; k++)
        if (none || v.v[k] > best.v[k]) {
          best.v[k] = v.v[k];
          from[k] = (int)at;
        }
      none = false;
    });
    if (!place) store_lanes<N>(y + row * w.channels + c, best);
#pragma unroll
    for (int k = 0; place && k < N; k++) place[row * w.channels + c + k] = from[k];
  }
}

template <typename T, int N>
static __global__ void __launch_bounds__(THREADS)
    gather(Around w, const int *place, const T *dy, T *dx) {
  int lanes = w.channels / N;
  int64_t start = (int64_t)blockIdx.x * THREADS + threadIdx.x, step = (int64_t)gridDim.x * THREADS;
  for (int64_t i = start; i < w.rows * lanes; i += step) {
    int64_t row = i / lanes;
    int c = (int)(i - row * lanes) * N;
    Floats<N> sum = {};
    visit_window(w, spot_of(w, row), [&](int64_t at) {
      Floats<N> d = load_lanes<N>(dy + at * w.channels + c);
#pragma unroll
      for (int k = 0; k < N; k++)
        if (place[at * w.channels + c + k] == (int)row) sum.v[k] += d.v[k];
    });
    store_lanes<N>(dx + row * w.channels + c, sum);
  }
}

static bool prepare(Call *call, Error *error) {
  if (tensor_rows(&call->in[0]) > INT32_MAX)
    return fail(error, "window_max: %lld voxels, at most %d", (long long)tensor_rows(&call->in[0]),
                INT32_MAX);
  call->scratch_bytes = call->backward ? (size_t)tensor_count(&call->in[0]) * sizeof(int) : 0;
  return true;
}

static void forward(const Call *call) {
  const Tensor *x = &call->in[0], *y = &call->out[0];
  with_lanes(x, x->data, y->data, NULL, [&](auto zero, auto lanes) {
    using T = decltype(zero);
    constexpr int N = decltype(lanes)::value;
    LAUNCH_EACH((maximum<T, N>), THREADS, tensor_count(x) / N, call->stream, around_of(call),
                data_of<const T>(x), data_of<T>(y), (int *)NULL);
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
    int *place = static_cast<int *>(call->scratch);
    LAUNCH_EACH((maximum<T, N>), THREADS, tensor_count(x) / N, call->stream, around_of(call),
                data_of<const T>(x), (T *)NULL, place);
    LAUNCH_EACH((gather<T, N>), THREADS, tensor_count(x) / N, call->stream, around_of(call),
                (const int *)place, data_of<const T>(dy), data_of<T>(dx));
  });
}

CUDA_KERNEL(window_max) = {.forward = forward,
                           .backward = backward,
                           .prepare = prepare,
                           .bf16 = SAVES_IN(0) | SAVES_OUT(0),
                           .bf16_together = true};
