/* Batch norm: kernels/cpu/channel_norm.h with the whole batch as one sample. */
#include "kernels/cpu/channel_norm.h"
#include "kernels/cpu/staging.h"

#include <math.h>
#include <string.h>

enum { IN_MEAN = IN_X + 1, IN_VARIANCE };

extern const Op op_batch_norm_float; /* its loops serve fewer channels than a register holds */

static ChannelNorm norm_of(const Call *call) {
  const BatchNormOptions *o = call->options;
  return (ChannelNorm){.samples = 1,
                       .width = 1,
                       .epsilon = o->epsilon,
                       .slope = o->slope,
                       .silu = o->activation == NORM_SILU};
}

static bool prepare(Call *call, Error *error) {
  (void)error;
  ChannelNorm norm = norm_of(call);
  channel_norm_prepare(call, &norm);
  return true;
}

/* The running ones in place of the batch's. */
static void take_running(const Call *call) {
  const BatchNormOptions *o = call->options;
  const float *variance = call->in[IN_VARIANCE].data;
  float *rstd = call->out[OUT_RSTD].data;
  memcpy(call->out[OUT_MEAN].data, call->in[IN_MEAN].data, tensor_bytes(&call->in[IN_MEAN]));
  for (int64_t c = 0; c < tensor_count(&call->out[OUT_RSTD]); c++)
    rstd[c] = (float)(1 / sqrt((double)variance[c] + o->epsilon));
}

/* After the batch's statistics. */
static void update_running(const Call *call, const ChannelNorm *norm) {
  double share = ((const BatchNormOptions *)call->options)->momentum;
  double rows = (double)tensor_rows(&call->in[IN_X]);
  float *mean = call->in[IN_MEAN].data, *variance = call->in[IN_VARIANCE].data;
  for (int64_t c = 0; c < tensor_count(&call->in[IN_MEAN]); c++) {
    Moments m = channel_norm_moments(call, norm, c);
    mean[c] = (float)((1 - share) * mean[c] + share * m.mean);
    variance[c] = (float)((1 - share) * variance[c] + share * m.variance * rows / (rows - 1));
  }
}

static void statistics(const Call *call, const ChannelNorm *norm) {
  int mode = ((const BatchNormOptions *)call->options)->mode;
  if (mode == BATCH_NORM_EVALUATE) {
    take_running(call);
    return;
  }
  channel_norm_statistics(call, norm);
  if (mode == BATCH_NORM_TRAIN) update_running(call, norm);
}

static void forward(const Call *call) {
  ChannelNorm norm = norm_of(call);
  if (channel_norm_narrow(call)) {
    staging_run(call, op_batch_norm_float.reference.forward);
    return;
  }
  if (!call->again) statistics(call, &norm);
  channel_norm_apply(call, &norm);
}

static void backward(const Call *call) {
  ChannelNorm norm = norm_of(call);
  bool given = ((const BatchNormOptions *)call->options)->mode == BATCH_NORM_EVALUATE;
  if (channel_norm_narrow(call))
    staging_run(call, op_batch_norm_float.reference.backward);
  else
    channel_norm_backward(call, &norm, given);
}

const Kernel batch_norm_cpu = {.forward = forward,
                               .backward = backward,
                               .prepare = prepare,
                               .bf16 = SAVES_IN(IN_X) | SAVES_OUT(OUT_Y),
                               .bf16_together = true};
