/* A run of tokens: one copy a sample; the gradient of the others is zero. */
#include "kernels/cuda/launch.h"

typedef struct Run {
  size_t sample, skip, bytes;
} Run;

static Run run_of(const Call *call) {
  const SliceOptions *o = static_cast<const SliceOptions *>(call->options);
  const Tensor *x = &call->in[0];
  size_t token = (size_t)tensor_last(x) * dtype_bytes(x->type);
  return {tensor_bytes(x) / (size_t)x->dim[0], (size_t)o->start * token, (size_t)o->length * token};
}

static void forward(const Call *call) {
  Run run = run_of(call);
  for (int64_t n = 0; n < call->in[0].dim[0]; n++)
    copy_bytes(call, data_of<char>(&call->out[0]) + (size_t)n * run.bytes,
               data_of<const char>(&call->in[0]) + (size_t)n * run.sample + run.skip, run.bytes);
}

static void backward(const Call *call) {
  Run run = run_of(call);
  if (!call->din[0].data) return;
  zero_gradients(call);
  if (!call->dout[0].data) return;
  for (int64_t n = 0; n < call->in[0].dim[0]; n++)
    copy_bytes(call, data_of<char>(&call->din[0]) + (size_t)n * run.sample + run.skip,
               data_of<const char>(&call->dout[0]) + (size_t)n * run.bytes, run.bytes);
}

CUDA_KERNEL(slice) = {.forward = forward,
                      .backward = backward,
                      .bf16 = SAVES_IN(0) | SAVES_OUT(0),
                      .bf16_together = true};
