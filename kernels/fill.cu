/* One number everywhere: computed once a graph. */
#include "kernels/cuda/vector.h"

static constexpr int THREADS = 256;

template <typename T>
static __global__ void __launch_bounds__(THREADS) fill(int64_t count, float value, T *y) {
  int64_t first = (int64_t)blockIdx.x * THREADS + threadIdx.x, step = (int64_t)gridDim.x * THREADS;
  for (int64_t i = first; i < count; i += step) store(y + i, value);
}

static void forward(const Call *call) {
  const FillOptions *o = static_cast<const FillOptions *>(call->options);
  const Tensor *y = &call->out[0];
  with_type(y->type, [&](auto zero) {
    using T = decltype(zero);
    LAUNCH(fill<T>, grid_blocks(fill<T>, THREADS, 0, tensor_count(y) / THREADS + 1), THREADS, 0,
           call->stream, tensor_count(y), (float)o->value, data_of<T>(y));
  });
}

CUDA_KERNEL(fill) = {.forward = forward, .bf16 = SAVES_OUT(0)};
