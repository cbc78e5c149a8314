/* Resize, trilinear or nearest: a thread a voxel of the output and a vector of channels. The
 * gradient is gathered, not scattered: a thread a voxel of the input visits the outputs that read
 * it, so there are no atomics and the bits repeat. Positions are whole numbers over 2 out: exact at
 * any size. */
#include "kernels/cells.h"
#include "kernels/cuda/vector.h"

static constexpr int THREADS = 256;

namespace {
struct Sizes {
  int64_t in[3], out[3]; /* D, H, W */
  int64_t samples;
  int channels;
};
/* What output i of one axis reads: voxels low and high, and the share of the latter. */
struct Near {
  int64_t low, high;
  float share;
};
} // namespace

/* (i + .5) in / out - .5 = ((2 i + 1) in - out) / (2 out), not below 0. */
static __device__ __forceinline__ Near near_of(int64_t i, int64_t in, int64_t out) {
  int64_t above = (2 * i + 1) * in - out, below = 2 * out;
  if (above < 0) above = 0;
  int64_t low = above / below;
  return {low, low + 1 < in ? low + 1 : low, (float)(above - low * below) / (float)below};
}

static __device__ __forceinline__ float weight_of(const Near &near, int64_t j) {
  return (near.low == j ? 1 - near.share : 0) + (near.high == j ? near.share : 0);
}

template <typename T, int N>
static __global__ void __launch_bounds__(THREADS) interpolate(Sizes s, const T *x, T *y) {
  int lanes = s.channels / N;
  int64_t count = s.samples * s.out[0] * s.out[1] * s.out[2] * lanes;
  int64_t first = (int64_t)blockIdx.x * THREADS + threadIdx.x, step = (int64_t)gridDim.x * THREADS;
  for (int64_t i = first; i < count; i += step) {
    int64_t row = i / lanes, n = row / (s.out[0] * s.out[1] * s.out[2]);
    Near z = near_of(row / (s.out[1] * s.out[2]) % s.out[0], s.in[0], s.out[0]);
    Near v = near_of(row / s.out[2] % s.out[1], s.in[1], s.out[1]);
    Near u = near_of(row % s.out[2], s.in[2], s.out[2]);
    int c = (int)(i % lanes) * N;
    Floats<N> sum = {};
#pragma unroll
    for (int k = 0; k < 8; k++) {
      float weight = (k & 4 ? z.share : 1 - z.share) * (k & 2 ? v.share : 1 - v.share) *
                     (k & 1 ? u.share : 1 - u.share);
      int64_t at = (n * s.in[0] + (k & 4 ? z.high : z.low)) * s.in[1] + (k & 2 ? v.high : v.low);
      at = at * s.in[2] + (k & 1 ? u.high : u.low);
      Floats<N> corner = load_lanes<N>(x + at * s.channels + c);
#pragma unroll
      for (int l = 0; l < N; l++) sum.v[l] += weight * corner.v[l];
    }
    store_lanes<N>(y + row * s.channels + c, sum);
  }
}

/* Outputs [first, last] of one axis among which are all that read voxel j: those whose position
 * lies within 1 of j; the first voxel is also read from below 0, the last from beyond the end. */
static __device__ __forceinline__ void readers(int64_t j, int64_t in, int64_t out, int64_t *first,
                                               int64_t *last) {
  *first = j == 0 ? 0 : ((2 * j - 1) * out - in) / (2 * in);
  *last = j == in - 1 ? out - 1 : ((2 * j + 3) * out - in) / (2 * in) + 1;
  if (*first < 0) *first = 0;
  if (*last > out - 1) *last = out - 1;
}

template <typename T, int N>
static __global__ void __launch_bounds__(THREADS) gather(Sizes s, const T *dy, T *dx) {
  int lanes = s.channels / N;
  int64_t count = s.samples * s.in[0] * s.in[1] * s.in[2] * lanes;
  int64_t start = (int64_t)blockIdx.x * THREADS + threadIdx.x, step = (int64_t)gridDim.x * THREADS;
  for (int64_t i = start; i < count; i += step) {
    int64_t row = i / lanes, n = row / (s.in[0] * s.in[1] * s.in[2]);
    int64_t at[3] = {row / (s.in[1] * s.in[2]) % s.in[0], row / s.in[2] % s.in[1], row % s.in[2]};
    int64_t first[3], last[3];
    int c = (int)(i % lanes) * N;
    Floats<N> sum = {};
    for (int a = 0; a < 3; a++) readers(at[a], s.in[a], s.out[a], &first[a], &last[a]);
    for (int64_t z = first[0]; z <= last[0]; z++) {
      float from_z = weight_of(near_of(z, s.in[0], s.out[0]), at[0]);
      for (int64_t v = first[1]; from_z != 0 && v <= last[1]; v++) {
        float from_v = from_z * weight_of(near_of(v, s.in[1], s.out[1]), at[1]);
        for (int64_t u = first[2]; from_v != 0 && u <= last[2]; u++) {
          float weight = from_v * weight_of(near_of(u, s.in[2], s.out[2]), at[2]);
          if (weight == 0) continue;
          int64_t from = ((n * s.out[0] + z) * s.out[1] + v) * s.out[2] + u;
          Floats<N> d = load_lanes<N>(dy + from * s.channels + c);
#pragma unroll
          for (int l = 0; l < N; l++) sum.v[l] += weight * d.v[l];
        }
      }
    }
    store_lanes<N>(dx + row * s.channels + c, sum);
  }
}

/* ---- nearest --------------------------------------------------------------------------------- */

template <typename T, int N>
static __global__ void __launch_bounds__(THREADS) pick(Sizes s, const T *x, T *y) {
  int lanes = s.channels / N;
  int64_t count = s.samples * s.out[0] * s.out[1] * s.out[2] * lanes;
  int64_t first = (int64_t)blockIdx.x * THREADS + threadIdx.x, step = (int64_t)gridDim.x * THREADS;
  for (int64_t i = first; i < count; i += step) {
    int64_t row = i / lanes, n = row / (s.out[0] * s.out[1] * s.out[2]);
    int64_t z = nearest_source(row / (s.out[1] * s.out[2]) % s.out[0], s.in[0], s.out[0]);
    int64_t v = nearest_source(row / s.out[2] % s.out[1], s.in[1], s.out[1]);
    int64_t u = nearest_source(row % s.out[2], s.in[2], s.out[2]);
    int64_t from = ((n * s.in[0] + z) * s.in[1] + v) * s.in[2] + u;
    int c = (int)(i % lanes) * N;
    store_lanes<N>(y + row * s.channels + c, load_lanes<N>(x + from * s.channels + c));
  }
}

template <typename T, int N>
static __global__ void __launch_bounds__(THREADS) sum_readers(Sizes s, const T *dy, T *dx) {
  int lanes = s.channels / N;
  int64_t count = s.samples * s.in[0] * s.in[1] * s.in[2] * lanes;
  int64_t start = (int64_t)blockIdx.x * THREADS + threadIdx.x, step = (int64_t)gridDim.x * THREADS;
  for (int64_t i = start; i < count; i += step) {
    int64_t row = i / lanes, n = row / (s.in[0] * s.in[1] * s.in[2]);
    int64_t at[3] = {row / (s.in[1] * s.in[2]) % s.in[0], row / s.in[2] % s.in[1], row % s.in[2]};
    int64_t first[3], end[3];
    for (int a = 0; a < 3; a++) first[a] = nearest_reader(at[a], s.in[a], s.out[a]);
    for (int a = 0; a < 3; a++) end[a] = nearest_reader(at[a] + 1, s.in[a], s.out[a]);
    int c = (int)(i % lanes) * N;
    Floats<N> sum = {};
    for (int64_t z = first[0]; z < end[0]; z++)
      for (int64_t v = first[1]; v < end[1]; v++)
        for (int64_t u = first[2]; u < end[2]; u++) {
          int64_t from = ((n * s.out[0] + z) * s.out[1] + v) * s.out[2] + u;
          Floats<N> d = load_lanes<N>(dy + from * s.channels + c);
#pragma unroll
          for (int l = 0; l < N; l++) sum.v[l] += d.v[l];
        }
    store_lanes<N>(dx + row * s.channels + c, sum);
  }
}

/* ---- launches -------------------------------------------------------------------------------- */

static Sizes sizes_of(const Call *call) {
  Sizes s = {};
  s.samples = call->in[0].dim[0];
  s.channels = (int)tensor_last(&call->in[0]);
  for (int a = 0; a < 3; a++) {
    s.in[a] = call->in[0].dim[1 + a];
    s.out[a] = call->out[0].dim[1 + a];
  }
  return s;
}

static void forward(const Call *call) {
  const Tensor *x = &call->in[0], *y = &call->out[0];
  with_lanes(x, x->data, y->data, NULL, [&](auto zero, auto lanes) {
    using T = decltype(zero);
    constexpr int N = decltype(lanes)::value;
    auto kernel = resize_is_nearest(call) ? pick<T, N> : interpolate<T, N>;
    LAUNCH(kernel, grid_blocks(kernel, THREADS, 0, tensor_count(y) / N / THREADS + 1), THREADS, 0,
           call->stream, sizes_of(call), data_of<const T>(x), data_of<T>(y));
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
    auto kernel = resize_is_nearest(call) ? sum_readers<T, N> : gather<T, N>;
    LAUNCH(kernel, grid_blocks(kernel, THREADS, 0, tensor_count(dx) / N / THREADS + 1), THREADS, 0,
           call->stream, sizes_of(call), data_of<const T>(dy), data_of<T>(dx));
  });
}

CUDA_KERNEL(resize) = {.forward = forward,
                       .backward = backward,
                       .bf16 = SAVES_IN(0) | SAVES_OUT(0),
                       .bf16_together = true};
