/* Labels at a coarser grid: a thread a voxel. */
#include "kernels/cuda/launch.h"

static constexpr int THREADS = 256;

namespace {
struct Pick {
  int64_t count, in[3], out[3]; /* D, H, W */
  int factor[3];
};
} // namespace

static __global__ void __launch_bounds__(THREADS)
    pick_labels(Pick p, const int32_t *x, int32_t *y) {
  int64_t first = (int64_t)blockIdx.x * THREADS + threadIdx.x, step = (int64_t)gridDim.x * THREADS;
  for (int64_t i = first; i < p.count; i += step) {
    int64_t w = i % p.out[2], h = i / p.out[2] % p.out[1];
    int64_t d = i / (p.out[1] * p.out[2]) % p.out[0], n = i / (p.out[0] * p.out[1] * p.out[2]);
    int64_t z = d * p.factor[0] + p.factor[0] / 2, v = h * p.factor[1] + p.factor[1] / 2;
    y[i] = x[((n * p.in[0] + z) * p.in[1] + v) * p.in[2] + w * p.factor[2] + p.factor[2] / 2];
  }
}

static void forward(const Call *call) {
  const int *factor = static_cast<const NearestLabelsOptions *>(call->options)->factor.v;
  Pick p = {};
  p.count = tensor_count(&call->out[0]);
  for (int a = 0; a < 3; a++) {
    p.in[a] = call->in[0].dim[1 + a];
    p.out[a] = call->out[0].dim[1 + a];
    p.factor[a] = factor[a];
  }
  LAUNCH(pick_labels, grid_blocks(pick_labels, THREADS, 0, p.count / THREADS + 1), THREADS, 0,
         call->stream, p, data_of<const int32_t>(&call->in[0]), data_of<int32_t>(&call->out[0]));
}

CUDA_KERNEL(nearest_labels) = {.forward = forward, .float_only = true};
