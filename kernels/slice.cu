/* A run of tokens of every sample; the gradient of the others is zero. One launch: the samples are
 * rows, wider than the run. */
#include "kernels/cuda/rows.h"

namespace {
/* The run in x, and by itself. */
struct Run {
  int64_t samples, length;
  Rows inside, alone;
};
} // namespace

static Run run_of(const Call *call, const Tensor *x, const Tensor *y) {
  const SliceOptions *o = static_cast<const SliceOptions *>(call->options);
  int64_t width = tensor_last(x), samples = x->dim[0], length = o->length * width;
  size_t skip = (size_t)(o->start * width) * dtype_bytes(x->type);
  return {samples, length, Rows{x->type, tensor_count(x) / samples, data_of<char>(x) + skip},
          Rows{y->type, length, y->data}};
}

static void forward(const Call *call) {
  Run run = run_of(call, &call->in[0], &call->out[0]);
  rows_copy(call->stream, run.samples, run.length, run.length, run.inside, run.alone);
}

static void backward(const Call *call) {
  if (!call->din[0].data) return;
  zero_gradients(call);
  if (!call->dout[0].data) return;
  Run run = run_of(call, &call->din[0], &call->dout[0]);
  rows_add(call->stream, run.samples, run.length, run.alone, run.inside, adds_to(call, 0));
}

CUDA_KERNEL(slice) = {.forward = forward,
                      .backward = backward,
                      .bf16 = SAVES_IN(0) | SAVES_OUT(0),
                      .bf16_together = true,
                      .adds = SAVES_IN(0)};
