/* Norms of channels on a GPU, what instance_norm and batch_norm do alike, as channel_norm.h on the
 * CPU: two passes over memory each way. Forward reads x for the statistics, then reads x and writes
 * y: 3 activations; backward reads x and dy for the two sums, then again to write dx: 5. The sums
 * are those of columns (column_sums.h), per sample, in a fixed order; values are taken relative to
 * the sample's first voxel, so that a mean far from 0 costs no digits. A thread keeps its channels
 * and their constants in registers: no division and no other load in the loops. */
#ifndef KERNELS_CUDA_NORM_COLUMNS_H
#define KERNELS_CUDA_NORM_COLUMNS_H

#include "kernels/cuda/column_sums.h"
#include "kernels/cuda/silu.h"

enum { IN_GAMMA, IN_BETA, IN_X };
enum { OUT_Y, OUT_MEAN, OUT_RSTD };

/* samples: that x is cut into; mean and rstd are (samples, C). */
struct ChannelNorm {
  int64_t samples;
  float slope;
  bool silu;
};

namespace {
/* Sums of x - x0 and of its square, x0 the first voxel of the sample. */
template <typename T> struct Moments {
  const T *x;
  int64_t voxels, channels;
  template <int N>
  __device__ __forceinline__ void at(int64_t sample, int64_t row, int column,
                                     Floats<N> *term) const {
    Floats<N> v = load_lanes<N>(x + row * channels + column);
    Floats<N> origin = load_lanes<N>(x + sample * voxels * channels + column);
#pragma unroll
    for (int i = 0; i < N; i++) {
      float d = v.v[i] - origin.v[i];
      term[0].v[i] = d;
      term[1].v[i] = d * d;
    }
  }
};

/* What both ways know of a call; mean and rstd (samples, C). */
template <typename T, bool SILU> struct Norm {
  int64_t voxels, channels;
  const T *x, *dy; /* dy: NULL where none arrives */
  const float *gamma, *beta, *mean, *rstd;
  float slope;

  __device__ __forceinline__ float activated(float z) const {
    if (SILU) return ::silu(z);
    return z < 0 ? slope * z : z;
  }
  /* The gradient before what follows, of that after it. */
  __device__ __forceinline__ float passed(float z, float g) const {
    if (SILU) return g * silu_slope(z);
    return z < 0 ? g * slope : g;
  }

  /* The terms of sum g and sum g h: h the normalised value, g the gradient of what enters the
   * affine map. */
  template <int N>
  __device__ __forceinline__ void at(int64_t sample, int64_t row, int c, Floats<N> *term) const {
    int64_t at = sample * channels + c;
    Floats<N> h = load_lanes<N>(x + row * channels + c);
    term[0] = load_lanes<N>(dy + row * channels + c);
#pragma unroll
    for (int i = 0; i < N; i++) {
      h.v[i] = (h.v[i] - mean[at + i]) * rstd[at + i];
      term[0].v[i] = passed(gamma[c + i] * h.v[i] + beta[c + i], term[0].v[i]);
      term[1].v[i] = term[0].v[i] * h.v[i];
    }
  }
};

/* Of a thread's channels: the norm before what follows is scale (x - mean) + beta. */
template <int N> struct Affine {
  float mean[N], scale[N], beta[N];

  template <typename T, bool SILU>
  __device__ __forceinline__ Affine(const Norm<T, SILU> &norm, int64_t sample, int c) {
    int64_t at = sample * norm.channels + c;
#pragma unroll
    for (int i = 0; i < N; i++) {
      mean[i] = norm.mean[at + i];
      scale[i] = norm.rstd[at + i] * norm.gamma[c + i];
      beta[i] = norm.beta[c + i];
    }
  }
};
} // namespace

template <typename T, int N, bool SILU>
static __global__ void __launch_bounds__(COLUMN_THREADS) normalise(Norm<T, SILU> norm, T *y) {
  ColumnWalk walk = column_walk<N>(norm.voxels, norm.channels);
  int64_t first = blockIdx.z * norm.voxels * norm.channels;
  const Affine<N> affine(norm, blockIdx.z, walk.column);
  const T *const from[1] = {norm.x + first};
  rows_walk<N, 4>(walk, norm.voxels, norm.channels, from, [&](int64_t at, Floats<N>(&v)[1]) {
#pragma unroll
    for (int i = 0; i < N; i++) {
      float z = (v[0].v[i] - affine.mean[i]) * affine.scale[i] + affine.beta[i];
      v[0].v[i] = norm.activated(z);
    }
    store_lanes<N>(y + first + at, v[0]);
  });
}

/* Over the samples, of N channels: dgamma of sum_gh, dbeta of sum_g, each (N, C). */
template <int N>
static __device__ __forceinline__ void sum_samples(int samples, int64_t channels, int c,
                                                   const float *sums, float *out) {
  for (int i = 0; out && i < N; i++) {
    float total = 0;
    for (int n = 0; n < samples; n++) total += sums[n * channels + c + i];
    out[c + i] = total;
  }
}

/* Of the sums (samples, C) of g and g h. of_g, of_gh: for groups, the means over them, weighted by
 * gamma; else NULL. */
struct NormSums {
  const float *g, *gh, *of_g, *of_gh;
};

/* The first blocks also sum up over the samples; dx NULL: they alone. given: mean and rstd were no
 * part of x. */
template <typename T, int N, bool SILU>
static __global__ void __launch_bounds__(COLUMN_THREADS)
    gradients(Norm<T, SILU> norm, NormSums sum, bool given, float *dgamma, float *dbeta, T *dx) {
  ColumnWalk walk = column_walk<N>(norm.voxels, norm.channels);
  int64_t first = blockIdx.z * norm.voxels * norm.channels;
  int64_t row = blockIdx.z * norm.channels + walk.column;
  if (blockIdx.x == 0 && blockIdx.z == 0 && (int)threadIdx.x < walk.tile) {
    sum_samples<N>((int)gridDim.z, norm.channels, walk.column, sum.gh, dgamma);
    sum_samples<N>((int)gridDim.z, norm.channels, walk.column, sum.g, dbeta);
  }
  if (!dx) return;
  float share = 1.f / (float)norm.voxels, mean_g[N], slope_g[N];
  const Affine<N> affine(norm, blockIdx.z, walk.column);
#pragma unroll
  for (int i = 0; i < N; i++) {
    mean_g[i] = slope_g[i] = 0;
    if (given) continue;
    float rstd = norm.rstd[row + i];
    mean_g[i] = share * (sum.of_g ? rstd * sum.of_g[row + i] : sum.g[row + i]);
    slope_g[i] = share * (sum.of_g ? rstd * sum.of_gh[row + i] : sum.gh[row + i]) * rstd;
  }
  const T *const from[2] = {norm.x + first, norm.dy + first};
  rows_walk<N, 2>(walk, norm.voxels, norm.channels, from, [&](int64_t at, Floats<N>(&v)[2]) {
#pragma unroll
    for (int i = 0; i < N; i++) {
      float d = v[0].v[i] - affine.mean[i], g = v[1].v[i];
      g = norm.passed(d * affine.scale[i] + affine.beta[i], g);
      v[1].v[i] = sum.of_g ? affine.scale[i] * g - mean_g[i] - d * slope_g[i]
                           : affine.scale[i] * (g - mean_g[i] - d * slope_g[i]);
    }
    store_lanes<N>(dx + first + at, v[1]);
  });
}

/* ---- for the ops ----------------------------------------------------------------------------- */

template <typename T, bool SILU>
static Norm<T, SILU> channel_norm_of(const Call *call, const ChannelNorm &of) {
  const Tensor *x = &call->in[IN_X];
  Norm<T, SILU> norm = {};
  norm.voxels = tensor_rows(x) / of.samples;
  norm.channels = tensor_last(x);
  norm.x = data_of<const T>(x);
  norm.dy = data_of<const T>(&call->dout[OUT_Y]);
  norm.gamma = data_of<const float>(&call->in[IN_GAMMA]);
  norm.beta = data_of<const float>(&call->in[IN_BETA]);
  norm.mean = data_of<const float>(&call->out[OUT_MEAN]);
  norm.rstd = data_of<const float>(&call->out[OUT_RSTD]);
  norm.slope = of.slope;
  return norm;
}

/* Whether SiLU follows, as a constant: the loops have no branch. */
template <typename F> static void with_silu(bool silu, F launch) {
  if (silu)
    launch(std::true_type());
  else
    launch(std::false_type());
}

/* Sums (samples, C) stand before the partial ones: two rows, and two for groups. */
static constexpr int NORM_SUM_ROWS = 4;

static inline size_t channel_norm_scratch(const Call *call, const ChannelNorm &of) {
  int64_t channels = tensor_last(&call->in[IN_X]);
  return column_sums_scratch(channels, 2, of.samples) +
         NORM_SUM_ROWS * (size_t)(of.samples * channels) * sizeof(float);
}

/* statistics.done makes of sums of Moments what it wants. */
template <typename T, typename Statistics>
static void channel_norm_moments(const Call *call, const ChannelNorm &of,
                                 const Statistics &statistics) {
  const Tensor *x = &call->in[IN_X];
  int64_t voxels = tensor_rows(x) / of.samples, channels = tensor_last(x);
  Moments<T> moments = {data_of<const T>(x), voxels, channels};
  column_sums<2, Lanes<T>::COUNT>(call->stream, voxels, channels,
                                  vectors_fit(channels, sizeof(T), x->data), moments, call->scratch,
                                  statistics, of.samples);
}

/* y, by the mean and rstd that stand in the call's outputs. */
static void channel_norm_apply(const Call *call, const ChannelNorm &of) {
  const Tensor *x = &call->in[IN_X], *y = &call->out[OUT_Y];
  with_silu(of.silu, [&](auto silu) {
    constexpr bool SILU = decltype(silu)::value;
    with_lanes(x, x->data, y->data, NULL, [&](auto zero, auto lanes) {
      using T = decltype(zero);
      constexpr int N = decltype(lanes)::value;
      Norm<T, SILU> norm = channel_norm_of<T, SILU>(call, of);
      LAUNCH((normalise<T, N, SILU>),
             column_grid<N>(normalise<T, N, SILU>, norm.voxels, norm.channels, of.samples),
             COLUMN_THREADS, 0, call->stream, norm, data_of<T>(y));
    });
  });
}

/* The sums of g and g h over the rows, (samples, C) each, at the start of the scratch. */
static NormSums channel_norm_sums(const Call *call, const ChannelNorm &of) {
  const Tensor *x = &call->in[IN_X], *dy = &call->dout[OUT_Y];
  int64_t channels = tensor_last(x), all = of.samples * channels;
  float *sum = static_cast<float *>(call->scratch);
  ColumnOut<2> sums = {{sum, sum + all}};
  with_silu(of.silu, [&](auto silu) {
    constexpr bool SILU = decltype(silu)::value;
    with_type(x->type, [&](auto zero) {
      using T = decltype(zero);
      column_sums<2, Lanes<T>::COUNT>(call->stream, tensor_rows(x) / of.samples, channels,
                                      vectors_fit(channels, sizeof(T), x->data, dy->data),
                                      channel_norm_of<T, SILU>(call, of), sum + NORM_SUM_ROWS * all,
                                      sums, of.samples);
    });
  });
  return NormSums{sum, sum + all, NULL, NULL};
}

static void channel_norm_gradients(const Call *call, const ChannelNorm &of, const NormSums &sums,
                                   bool given) {
  const Tensor *x = &call->in[IN_X], *dy = &call->dout[OUT_Y], *dx = &call->din[IN_X];
  with_silu(of.silu, [&](auto silu) {
    constexpr bool SILU = decltype(silu)::value;
    with_lanes(x, x->data, dy->data, dx->data, [&](auto zero, auto lanes) {
      using T = decltype(zero);
      constexpr int N = decltype(lanes)::value;
      Norm<T, SILU> norm = channel_norm_of<T, SILU>(call, of);
      dim3 grid = column_grid<N>(gradients<T, N, SILU>, norm.voxels, norm.channels, of.samples);
      LAUNCH((gradients<T, N, SILU>), grid, COLUMN_THREADS, 0, call->stream, norm, sums, given,
             data_of<float>(&call->din[IN_GAMMA]), data_of<float>(&call->din[IN_BETA]),
             data_of<T>(dx));
    });
  });
}

#endif
