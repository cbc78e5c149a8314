/* Instance or group normalisation with LeakyReLU: two passes over memory each way. Forward reads x
 * for the statistics, then reads x and writes y: 3 activations; backward reads x and dy for the two
 * sums, then again to write dx: 5. The sums are those of columns (column_sums.h), per sample, in a
 * fixed order; values are taken relative to the sample's first voxel, so that a mean far from 0
 * costs no digits. A thread keeps its channels and their constants in registers: no division and no
 * other load in the loops. */
#include "kernels/cuda/column_sums.h"

enum { IN_GAMMA, IN_BETA, IN_X };
enum { OUT_Y, OUT_MEAN, OUT_RSTD };
static constexpr int THREADS = COLUMN_THREADS;

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

/* What both ways know of a call; mean and rstd (N, C). */
template <typename T> struct Norm {
  int64_t voxels, channels;
  const T *x, *dy; /* dy: NULL where none arrives */
  const float *gamma, *beta, *mean, *rstd;
  float slope;

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
      if (gamma[c + i] * h.v[i] + beta[c + i] < 0) term[0].v[i] *= slope;
      term[1].v[i] = term[0].v[i] * h.v[i];
    }
  }
};

/* Makes mean and rstd (N, C) of the sums of Moments; for groups mean and variance, of which
 * group_statistics makes theirs. */
template <typename T> struct Statistics {
  const T *x;
  int64_t voxels, channels;
  bool groups;
  double epsilon;
  float *mean, *rstd;

  __device__ __forceinline__ void done(int64_t at, const float (&sum)[2]) const {
    int64_t n = at / channels, c = at % channels;
    double d = (double)sum[0] / (double)voxels;
    double variance = (double)sum[1] / (double)voxels - d * d;
    mean[at] = (float)(d + load(x + n * voxels * channels + c));
    variance = variance > 0 ? variance : 0;
    rstd[at] = (float)(groups ? variance : 1 / sqrt(variance + epsilon));
  }
};

/* Of a thread's channels: the norm before LeakyReLU is scale (x - mean) + beta. */
template <int N> struct Affine {
  float mean[N], scale[N], beta[N];

  template <typename T>
  __device__ __forceinline__ Affine(const Norm<T> &norm, int64_t sample, int c) {
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

/* In place, a thread a group of `width` channels: means and variances (N, C) of channels become its
 * mean and 1 / its deviation, for each of them. */
static __global__ void __launch_bounds__(THREADS)
    group_statistics(int64_t groups, int width, double epsilon, float *mean, float *rstd) {
  int64_t group = (int64_t)blockIdx.x * THREADS + threadIdx.x;
  if (group >= groups) return;
  float *means = mean + group * width, *variances = rstd + group * width;
  double sum = 0, variance = 0;
  for (int k = 0; k < width; k++) sum += (double)means[k];
  sum /= width;
  for (int k = 0; k < width; k++)
    variance += (double)variances[k] + ((double)means[k] - sum) * ((double)means[k] - sum);
  for (int k = 0; k < width; k++) {
    means[k] = (float)sum;
    variances[k] = (float)(1 / sqrt(variance / width + epsilon));
  }
}

/* A thread a group: the sums (N, C) of g and g h, weighted by gamma, over its channels and divided
 * by their number, for each of them. */
static __global__ void __launch_bounds__(THREADS)
    group_gradients(int64_t groups, int width, int64_t channels, const float *gamma,
                    const float *sum_g, const float *sum_gh, float *of_g, float *of_gh) {
  int64_t group = (int64_t)blockIdx.x * THREADS + threadIdx.x, first = group * width;
  if (group >= groups) return;
  float g = 0, gh = 0;
  for (int k = 0; k < width; k++) {
    float weight = gamma[(first + k) % channels] / (float)width;
    g += weight * sum_g[first + k];
    gh += weight * sum_gh[first + k];
  }
  for (int k = 0; k < width; k++) {
    of_g[first + k] = g;
    of_gh[first + k] = gh;
  }
}

template <typename T, int N>
static __global__ void __launch_bounds__(THREADS) normalise(Norm<T> norm, T *y) {
  ColumnWalk walk = column_walk<N>(norm.voxels, norm.channels);
  int64_t first = blockIdx.z * norm.voxels * norm.channels;
  const Affine<N> affine(norm, blockIdx.z, walk.column);
  const T *const from[1] = {norm.x + first};
  rows_walk<N, 4>(walk, norm.voxels, norm.channels, from, [&](int64_t at, Floats<N>(&v)[1]) {
#pragma unroll
    for (int i = 0; i < N; i++) {
      float z = (v[0].v[i] - affine.mean[i]) * affine.scale[i] + affine.beta[i];
      v[0].v[i] = z < 0 ? norm.slope * z : z;
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

/* sum_g, sum_gh (N, C). The first blocks also sum them up over the samples; dx NULL: they alone.
 * of_g, of_gh: for groups, what group_gradients makes of them; else NULL. */
template <typename T, int N>
static __global__ void __launch_bounds__(THREADS)
    gradients(Norm<T> norm, const float *sum_g, const float *sum_gh, const float *of_g,
              const float *of_gh, float *dgamma, float *dbeta, T *dx) {
  ColumnWalk walk = column_walk<N>(norm.voxels, norm.channels);
  int64_t first = blockIdx.z * norm.voxels * norm.channels;
  int64_t row = blockIdx.z * norm.channels + walk.column;
  if (blockIdx.x == 0 && blockIdx.z == 0 && (int)threadIdx.x < walk.tile) {
    sum_samples<N>((int)gridDim.z, norm.channels, walk.column, sum_gh, dgamma);
    sum_samples<N>((int)gridDim.z, norm.channels, walk.column, sum_g, dbeta);
  }
  if (!dx) return;
  float share = 1.f / (float)norm.voxels, mean_g[N], slope_g[N];
  const Affine<N> affine(norm, blockIdx.z, walk.column);
#pragma unroll
  for (int i = 0; i < N; i++) {
    mean_g[i] = share * (of_g ? norm.rstd[row + i] * of_g[row + i] : sum_g[row + i]);
    slope_g[i] =
        share * (of_g ? norm.rstd[row + i] * of_gh[row + i] : sum_gh[row + i]) * norm.rstd[row + i];
  }
  const T *const from[2] = {norm.x + first, norm.dy + first};
  rows_walk<N, 2>(walk, norm.voxels, norm.channels, from, [&](int64_t at, Floats<N>(&v)[2]) {
#pragma unroll
    for (int i = 0; i < N; i++) {
      float d = v[0].v[i] - affine.mean[i], g = v[1].v[i];
      if (d * affine.scale[i] + affine.beta[i] < 0) g *= norm.slope;
      v[1].v[i] = of_g ? affine.scale[i] * g - mean_g[i] - d * slope_g[i]
                       : affine.scale[i] * (g - mean_g[i] - d * slope_g[i]);
    }
    store_lanes<N>(dx + first + at, v[1]);
  });
}

template <typename T> static Norm<T> norm_of(const Call *call) {
  const Tensor *x = &call->in[IN_X];
  Norm<T> norm = {};
  norm.voxels = tensor_rows(x) / x->dim[0];
  norm.channels = tensor_last(x);
  norm.x = data_of<const T>(x);
  norm.dy = data_of<const T>(&call->dout[OUT_Y]);
  norm.gamma = data_of<const float>(&call->in[IN_GAMMA]);
  norm.beta = data_of<const float>(&call->in[IN_BETA]);
  norm.mean = data_of<const float>(&call->out[OUT_MEAN]);
  norm.rstd = data_of<const float>(&call->out[OUT_RSTD]);
  norm.slope = (float)static_cast<const InstanceNormOptions *>(call->options)->slope;
  return norm;
}

template <typename T> static void find_statistics(const Call *call) {
  const Tensor *x = &call->in[IN_X];
  double epsilon = static_cast<const InstanceNormOptions *>(call->options)->epsilon;
  Norm<T> norm = norm_of<T>(call);
  Moments<T> moments = {norm.x, norm.voxels, norm.channels};
  int64_t width = norm_width(call->options, norm.channels);
  int64_t groups = x->dim[0] * norm.channels / width;
  Statistics<T> statistics = {norm.x,
                              norm.voxels,
                              norm.channels,
                              width > 1,
                              epsilon,
                              data_of<float>(&call->out[OUT_MEAN]),
                              data_of<float>(&call->out[OUT_RSTD])};
  column_sums<2, Lanes<T>::COUNT>(call->stream, norm.voxels, norm.channels,
                                  vectors_fit(norm.channels, sizeof(T), x->data), moments,
                                  call->scratch, statistics, x->dim[0]);
  if (width > 1)
    LAUNCH(group_statistics, (unsigned)((groups + THREADS - 1) / THREADS), THREADS, 0, call->stream,
           groups, (int)width, epsilon, data_of<float>(&call->out[OUT_MEAN]),
           data_of<float>(&call->out[OUT_RSTD]));
}

static void forward(const Call *call) {
  const Tensor *x = &call->in[IN_X], *y = &call->out[OUT_Y];
  if (!call->again) with_type(x->type, [&](auto zero) { find_statistics<decltype(zero)>(call); });
  with_lanes(x, x->data, y->data, NULL, [&](auto zero, auto lanes) {
    using T = decltype(zero);
    constexpr int N = decltype(lanes)::value;
    Norm<T> norm = norm_of<T>(call);
    LAUNCH((normalise<T, N>),
           column_grid<N>(normalise<T, N>, norm.voxels, norm.channels, x->dim[0]), THREADS, 0,
           call->stream, norm, data_of<T>(y));
  });
}

/* Sums (N, C) stand before the partial ones: two rows, and two for groups. */
static constexpr int SUM_ROWS = 4;

static ColumnOut<2> backward_sums(const Call *call) {
  const Tensor *x = &call->in[IN_X], *dy = &call->dout[OUT_Y];
  int64_t samples = x->dim[0], channels = tensor_last(x);
  float *sum = static_cast<float *>(call->scratch);
  ColumnOut<2> sums = {{sum, sum + samples * channels}};
  with_type(x->type, [&](auto zero) {
    using T = decltype(zero);
    column_sums<2, Lanes<T>::COUNT>(call->stream, tensor_rows(x) / samples, channels,
                                    vectors_fit(channels, sizeof(T), x->data, dy->data),
                                    norm_of<T>(call), sum + SUM_ROWS * samples * channels, sums,
                                    samples);
  });
  return sums;
}

/* What group_gradients makes of the sums; NULL: every channel stands by itself. */
static void group_sums(const Call *call, const ColumnOut<2> &sums, float **of_g, float **of_gh) {
  const Tensor *x = &call->in[IN_X];
  int64_t channels = tensor_last(x), all = x->dim[0] * channels;
  int64_t width = norm_width(call->options, channels), groups = all / width;
  *of_g = *of_gh = NULL;
  if (width == 1) return;
  *of_g = sums.sum[1] + all;
  *of_gh = *of_g + all;
  LAUNCH(group_gradients, (unsigned)((groups + THREADS - 1) / THREADS), THREADS, 0, call->stream,
         groups, (int)width, channels, data_of<const float>(&call->in[IN_GAMMA]), sums.sum[0],
         sums.sum[1], *of_g, *of_gh);
}

static void backward(const Call *call) {
  const Tensor *x = &call->in[IN_X], *dy = &call->dout[OUT_Y], *dx = &call->din[IN_X];
  float *dgamma = data_of<float>(&call->din[IN_GAMMA]),
        *dbeta = data_of<float>(&call->din[IN_BETA]);
  if (!dy->data) {
    zero_gradients(call);
    return;
  }
  ColumnOut<2> sums = backward_sums(call);
  float *of_g, *of_gh;
  group_sums(call, sums, &of_g, &of_gh);
  with_lanes(x, x->data, dy->data, dx->data, [&](auto zero, auto lanes) {
    using T = decltype(zero);
    constexpr int N = decltype(lanes)::value;
    Norm<T> norm = norm_of<T>(call);
    dim3 grid = column_grid<N>(gradients<T, N>, norm.voxels, norm.channels, x->dim[0]);
    LAUNCH((gradients<T, N>), grid, THREADS, 0, call->stream, norm, sums.sum[0], sums.sum[1], of_g,
           of_gh, dgamma, dbeta, data_of<T>(dx));
  });
}

static bool prepare(Call *call, Error *) {
  const Tensor *x = &call->in[IN_X];
  int64_t samples = x->dim[0], channels = tensor_last(x);
  call->scratch_bytes = column_sums_scratch(channels, 2, samples) +
                        SUM_ROWS * (size_t)(samples * channels) * sizeof(float);
  return true;
}

CUDA_KERNEL(instance_norm) = {.forward = forward,
                              .backward = backward,
                              .prepare = prepare,
                              .bf16 = SAVES_IN(IN_X) | SAVES_OUT(OUT_Y),
                              .bf16_together = true};
