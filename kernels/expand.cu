/* The same for every sample, read by rows that lie on one another; the gradient sums over them. */
#include "kernels/cuda/rows.h"

static constexpr int THREADS = 256;

template <typename T>
static __global__ void __launch_bounds__(THREADS)
    sum_samples(int64_t count, int samples, const T *dy, T *dx) {
  int64_t first = (int64_t)blockIdx.x * THREADS + threadIdx.x, step = (int64_t)gridDim.x * THREADS;
  for (int64_t i = first; i < count; i += step) {
    float sum = 0;
    for (int n = 0; n < samples; n++) sum += load(dy + n * count + i);
    store(dx + i, sum);
  }
}

static void forward(const Call *call) {
  const ExpandOptions *o = static_cast<const ExpandOptions *>(call->options);
  const Tensor *x = &call->in[0], *y = &call->out[0];
  int64_t width = tensor_count(x);
  rows_copy(call->stream, o->count, width, width, Rows{x->type, 0, x->data},
            Rows{y->type, width, y->data});
}

static void backward(const Call *call) {
  const ExpandOptions *o = static_cast<const ExpandOptions *>(call->options);
  const Tensor *dy = &call->dout[0], *dx = &call->din[0];
  int64_t count = tensor_count(dx);
  if (!dx->data) return;
  if (!dy->data) {
    zero_gradients(call);
    return;
  }
  with_type(dx->type, [&](auto zero) {
    using T = decltype(zero);
    LAUNCH(sum_samples<T>, grid_blocks(sum_samples<T>, THREADS, 0, count / THREADS + 1), THREADS, 0,
           call->stream, count, o->count, data_of<const T>(dy), data_of<T>(dx));
  });
}

CUDA_KERNEL(expand) = {.forward = forward,
                       .backward = backward,
                       .bf16 = SAVES_IN(0) | SAVES_OUT(0),
                       .bf16_together = true};
