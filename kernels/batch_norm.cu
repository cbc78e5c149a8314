/* Batch norm: kernels/cuda/norm_columns.h with the whole batch as one sample. The kernel that ends
 * the sums of a channel takes them into its running mean and variance, too. */
#include "kernels/cuda/norm_columns.h"

enum { IN_MEAN = IN_X + 1, IN_VARIANCE };

namespace {
/* Makes mean and rstd (C) of the sums of Moments; running NULL: there is none. */
template <typename T> struct Statistics {
  const T *x;
  int64_t rows;
  double epsilon, momentum;
  float *mean, *rstd, *running_mean, *running_variance;

  __device__ __forceinline__ void done(int64_t c, const float (&sum)[2]) const {
    double d = (double)sum[0] / (double)rows, m = d + (double)load(x + c);
    double variance = (double)sum[1] / (double)rows - d * d;
    variance = variance > 0 ? variance : 0;
    mean[c] = (float)m;
    rstd[c] = (float)(1 / sqrt(variance + epsilon));
    if (!running_mean) return;
    double unbiased = variance * (double)rows / (double)(rows - 1);
    running_mean[c] = (float)((1 - momentum) * (double)running_mean[c] + momentum * m);
    running_variance[c] =
        (float)((1 - momentum) * (double)running_variance[c] + momentum * unbiased);
  }
};
} // namespace

static __global__ void __launch_bounds__(COLUMN_THREADS)
    take_running(int channels, double epsilon, const float *running_mean,
                 const float *running_variance, float *mean, float *rstd) {
  int c = (int)(blockIdx.x * COLUMN_THREADS + threadIdx.x);
  if (c >= channels) return;
  mean[c] = running_mean[c];
  rstd[c] = (float)(1 / sqrt((double)running_variance[c] + epsilon));
}

static const BatchNormOptions *options_of(const Call *call) {
  return static_cast<const BatchNormOptions *>(call->options);
}

static ChannelNorm norm_of(const Call *call) {
  const BatchNormOptions *o = options_of(call);
  return ChannelNorm{1, (float)o->slope, o->activation == NORM_SILU};
}

static void evaluate(const Call *call) {
  int channels = (int)tensor_last(&call->in[IN_X]);
  LAUNCH(take_running, (unsigned)((channels + COLUMN_THREADS - 1) / COLUMN_THREADS), COLUMN_THREADS,
         0, call->stream, channels, options_of(call)->epsilon,
         data_of<const float>(&call->in[IN_MEAN]), data_of<const float>(&call->in[IN_VARIANCE]),
         data_of<float>(&call->out[OUT_MEAN]), data_of<float>(&call->out[OUT_RSTD]));
}

template <typename T> static void find_statistics(const Call *call) {
  const BatchNormOptions *o = options_of(call);
  const Tensor *x = &call->in[IN_X];
  bool tracks = o->mode == BATCH_NORM_TRAIN;
  Statistics<T> statistics = {data_of<const T>(x),
                              tensor_rows(x),
                              o->epsilon,
                              o->momentum,
                              data_of<float>(&call->out[OUT_MEAN]),
                              data_of<float>(&call->out[OUT_RSTD]),
                              tracks ? data_of<float>(&call->in[IN_MEAN]) : NULL,
                              tracks ? data_of<float>(&call->in[IN_VARIANCE]) : NULL};
  channel_norm_moments<T>(call, norm_of(call), statistics);
}

static void forward(const Call *call) {
  if (options_of(call)->mode == BATCH_NORM_EVALUATE) {
    if (!call->again) evaluate(call);
  } else if (!call->again) {
    with_type(call->in[IN_X].type, [&](auto zero) { find_statistics<decltype(zero)>(call); });
  }
  channel_norm_apply(call, norm_of(call));
}

static void backward(const Call *call) {
  if (!call->dout[OUT_Y].data) {
    zero_gradients(call);
    return;
  }
  ChannelNorm norm = norm_of(call);
  bool given = options_of(call)->mode == BATCH_NORM_EVALUATE;
  bool sums_wanted = !given || call->din[IN_GAMMA].data || call->din[IN_BETA].data;
  NormSums sums = sums_wanted ? channel_norm_sums(call, norm) : NormSums{};
  channel_norm_gradients(call, norm, sums, given);
}

static bool prepare(Call *call, Error *) {
  call->scratch_bytes = channel_norm_scratch(call, norm_of(call));
  return true;
}

CUDA_KERNEL(batch_norm) = {.forward = forward,
                           .backward = backward,
                           .prepare = prepare,
                           .bf16 = SAVES_IN(IN_X) | SAVES_OUT(OUT_Y),
                           .bf16_together = true};
