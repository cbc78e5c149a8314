/* Instance and group norm: kernels/cpu/channel_norm.h. */
#include "kernels/cpu/channel_norm.h"
#include "kernels/cpu/staging.h"

extern const Op op_instance_norm_float; /* its loops serve fewer channels than a register holds */

static ChannelNorm norm_of(const Call *call) {
  const InstanceNormOptions *o = call->options;
  const Tensor *x = &call->in[IN_X];
  return (ChannelNorm){.samples = x->dim[0],
                       .width = norm_width(o, tensor_last(x)),
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

static void forward(const Call *call) {
  ChannelNorm norm = norm_of(call);
  if (channel_norm_narrow(call)) {
    staging_run(call, op_instance_norm_float.reference.forward);
    return;
  }
  if (!call->again) channel_norm_statistics(call, &norm);
  channel_norm_apply(call, &norm);
}

static void backward(const Call *call) {
  ChannelNorm norm = norm_of(call);
  if (channel_norm_narrow(call))
    staging_run(call, op_instance_norm_float.reference.backward);
  else
    channel_norm_backward(call, &norm, false);
}

const Kernel instance_norm_cpu = {.forward = forward,
                                  .backward = backward,
                                  .prepare = prepare,
                                  .bf16 = SAVES_IN(IN_X) | SAVES_OUT(OUT_Y),
                                  .bf16_together = true};
