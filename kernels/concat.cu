/* Token matrices one after another: one copy an input and sample, which the driver does at the
 * bandwidth of memory. */
#include "kernels/cuda/launch.h"

/* Bytes of one sample. */
static size_t part(const Tensor *x) {
  return tensor_bytes(x) / (size_t)x->dim[0];
}

static void forward(const Call *call) {
  char *y = data_of<char>(&call->out[0]);
  for (int64_t n = 0; n < call->out[0].dim[0]; n++)
    for (int i = 0; i < call->n_in; i++) {
      size_t bytes = part(&call->in[i]);
      copy_bytes(call, y, data_of<const char>(&call->in[i]) + (size_t)n * bytes, bytes);
      y += bytes;
    }
}

static void backward(const Call *call) {
  const char *dy = data_of<const char>(&call->dout[0]);
  if (!dy) {
    zero_gradients(call);
    return;
  }
  for (int64_t n = 0; n < call->out[0].dim[0]; n++)
    for (int i = 0; i < call->n_in; i++) {
      size_t bytes = part(&call->in[i]);
      if (call->din[i].data)
        copy_bytes(call, data_of<char>(&call->din[i]) + (size_t)n * bytes, dy, bytes);
      dy += bytes;
    }
}

CUDA_KERNEL(concat) = {.forward = forward,
                       .backward = backward,
                       .bf16 = SAVES_ALL_IN | SAVES_OUT(0),
                       .bf16_together = true};
