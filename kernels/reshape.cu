/* The same numbers under another shape: nothing where the plan shares the memory, else a copy. */
#include "kernels/cuda/rows.h"

static void forward(const Call *call) {
  const Tensor *x = &call->in[0], *y = &call->out[0];
  if (y->data != x->data) copy_bytes(call, y->data, x->data, tensor_bytes(x));
}

static void backward(const Call *call) {
  const Tensor *dy = &call->dout[0], *dx = &call->din[0];
  if (!dx->data || dx->data == dy->data) return;
  if (!dy->data)
    zero_gradients(call);
  else if (adds_to(call, 0))
    cast(call->stream, tensor_count(dy), dy->type, dy->data, dx->type, dx->data, true);
  else
    copy_bytes(call, dx->data, dy->data, tensor_bytes(dy));
}

CUDA_KERNEL(reshape) = {.forward = forward,
                        .backward = backward,
                        .bf16 = SAVES_IN(0) | SAVES_OUT(0),
                        .bf16_together = true,
                        .adds = SAVES_IN(0)};
