/* Instance or group normalisation with what follows: kernels/cuda/norm_columns.h. */
#include "kernels/cuda/norm_columns.h"

static constexpr int THREADS = COLUMN_THREADS;

namespace {
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

static ChannelNorm norm_of(const Call *call) {
  const InstanceNormOptions *o = static_cast<const InstanceNormOptions *>(call->options);
  return ChannelNorm{call->in[IN_X].dim[0], (float)o->slope, o->activation == NORM_SILU};
}

template <typename T> static void find_statistics(const Call *call) {
  const Tensor *x = &call->in[IN_X];
  double epsilon = static_cast<const InstanceNormOptions *>(call->options)->epsilon;
  int64_t samples = x->dim[0], channels = tensor_last(x);
  int64_t width = norm_width(call->options, channels), groups = samples * channels / width;
  Statistics<T> statistics = {data_of<const T>(x),
                              tensor_rows(x) / samples,
                              channels,
                              width > 1,
                              epsilon,
                              data_of<float>(&call->out[OUT_MEAN]),
                              data_of<float>(&call->out[OUT_RSTD])};
  channel_norm_moments<T>(call, norm_of(call), statistics);
  if (width > 1)
    LAUNCH(group_statistics, (unsigned)((groups + THREADS - 1) / THREADS), THREADS, 0, call->stream,
           groups, (int)width, epsilon, data_of<float>(&call->out[OUT_MEAN]),
           data_of<float>(&call->out[OUT_RSTD]));
}

static void forward(const Call *call) {
  if (!call->again)
    with_type(call->in[IN_X].type, [&](auto zero) { find_statistics<decltype(zero)>(call); });
  channel_norm_apply(call, norm_of(call));
}

/* For groups the means over them, behind the sums. */
static void group_sums(const Call *call, NormSums *sums) {
  const Tensor *x = &call->in[IN_X];
  int64_t channels = tensor_last(x), all = x->dim[0] * channels;
  int64_t width = norm_width(call->options, channels), groups = all / width;
  if (width == 1) return;
  float *of_g = static_cast<float *>(call->scratch) + 2 * all, *of_gh = of_g + all;
  LAUNCH(group_gradients, (unsigned)((groups + THREADS - 1) / THREADS), THREADS, 0, call->stream,
         groups, (int)width, channels, data_of<const float>(&call->in[IN_GAMMA]), sums->g, sums->gh,
         of_g, of_gh);
  sums->of_g = of_g;
  sums->of_gh = of_gh;
}

static void backward(const Call *call) {
  if (!call->dout[OUT_Y].data) {
    zero_gradients(call);
    return;
  }
  ChannelNorm norm = norm_of(call);
  NormSums sums = channel_norm_sums(call, norm);
  group_sums(call, &sums);
  channel_norm_gradients(call, norm, sums, false);
}

static bool prepare(Call *call, Error *) {
  call->scratch_bytes = channel_norm_scratch(call, norm_of(call));
  return true;
}

CUDA_KERNEL(instance_norm) = {.forward = forward,
                              .backward = backward,
                              .prepare = prepare,
                              .bf16 = SAVES_IN(IN_X) | SAVES_OUT(OUT_Y),
                              .bf16_together = true};
