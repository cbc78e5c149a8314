/* The same for every sample, read by rows that lie on one another; the gradient sums over them.
 * With `inner` once for each sample of x: as many launches. */
#include "kernels/cuda/rows.h"

static constexpr int THREADS = 256;

template <typename T>
static __global__ void __launch_bounds__(THREADS)
    sum_repeats(int64_t all, int64_t count, int repeats, const T *dy, T *dx) {
  int64_t first = (int64_t)blockIdx.x * THREADS + threadIdx.x, step = (int64_t)gridDim.x * THREADS;
  for (int64_t i = first; i < all; i += step) {
    const T *at = dy + i / count * repeats * count + i % count;
    float sum = 0;
    for (int n = 0; n < repeats; n++) sum += load(at + n * count);
    store(dx + i, sum);
  }
}

static void forward(const Call *call) {
  const ExpandOptions *o = static_cast<const ExpandOptions *>(call->options);
  const Tensor *x = &call->in[0], *y = &call->out[0];
  int64_t samples = expand_samples(call), width = tensor_count(x) / samples;
  const char *from = data_of<const char>(x);
  char *to = data_of<char>(y);
  size_t step = (size_t)width * dtype_bytes(x->type);
  for (int64_t n = 0; n < samples; n++, from += step, to += step * (size_t)o->count)
    rows_copy(call->stream, o->count, width, width, Rows{x->type, 0, const_cast<char *>(from)},
              Rows{y->type, width, to});
}

static void backward(const Call *call) {
  const ExpandOptions *o = static_cast<const ExpandOptions *>(call->options);
  const Tensor *dy = &call->dout[0], *dx = &call->din[0];
  int64_t all = tensor_count(dx), count = all / expand_samples(call);
  if (!dx->data) return;
  if (!dy->data) {
    zero_gradients(call);
    return;
  }
  with_type(dx->type, [&](auto zero) {
    using T = decltype(zero);
    LAUNCH(sum_repeats<T>, grid_blocks(sum_repeats<T>, THREADS, 0, all / THREADS + 1), THREADS, 0,
           call->stream, all, count, o->count, data_of<const T>(dy), data_of<T>(dx));
  });
}

CUDA_KERNEL(expand) = {.forward = forward,
                       .backward = backward,
                       .bf16 = SAVES_IN(0) | SAVES_OUT(0),
                       .bf16_together = true};
