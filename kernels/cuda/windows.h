/* Windows of factor voxels, window = stride: the walk that avg_pool and max_pool share. A thread
 * has one output row (a voxel) and N neighbouring channels. */
#ifndef KERNELS_CUDA_WINDOWS_H
#define KERNELS_CUDA_WINDOWS_H

#include "kernels/cuda/vector.h"

struct Windows {
  int64_t rows;          /* of the output */
  int64_t in[3], out[3]; /* D, H, W */
  int factor[3];
  int channels;
};

static inline Windows windows_of(const Call *call) {
  const PoolOptions *o = static_cast<const PoolOptions *>(call->options);
  Windows w = {};
  w.rows = tensor_rows(&call->out[0]);
  w.channels = (int)tensor_last(&call->in[0]);
  for (int a = 0; a < 3; a++) {
    w.in[a] = call->in[0].dim[1 + a];
    w.out[a] = call->out[0].dim[1 + a];
    w.factor[a] = o->factor.v[a];
  }
  return w;
}

/* The input row of the first voxel of the window of output row `row`. */
static __device__ __forceinline__ int64_t window_start(const Windows &w, int64_t row) {
  int64_t x = row % w.out[2], y = row / w.out[2] % w.out[1];
  int64_t z = row / (w.out[1] * w.out[2]) % w.out[0], n = row / (w.out[0] * w.out[1] * w.out[2]);
  return ((n * w.in[0] + z * w.factor[0]) * w.in[1] + y * w.factor[1]) * w.in[2] + x * w.factor[2];
}

/* The output row whose window has input row `row`. In 32 bits: there are fewer voxels. */
static __device__ __forceinline__ int64_t window_of(const Windows &w, int64_t row) {
  unsigned at = (unsigned)row, x = at % (unsigned)w.in[2], rest = at / (unsigned)w.in[2];
  unsigned y = rest % (unsigned)w.in[1];
  rest /= (unsigned)w.in[1];
  unsigned z = rest % (unsigned)w.in[0], n = rest / (unsigned)w.in[0];
  return ((n * w.out[0] + z / (unsigned)w.factor[0]) * w.out[1] + y / (unsigned)w.factor[1]) *
             w.out[2] +
         x / (unsigned)w.factor[2];
}

/* visit(input row) for every voxel of the window that starts at `start`, in memory order. */
template <typename F>
static __device__ __forceinline__ void window_visit(const Windows &w, int64_t start, F visit) {
  for (int z = 0; z < w.factor[0]; z++)
    for (int y = 0; y < w.factor[1]; y++)
      for (int x = 0; x < w.factor[2]; x++) visit(start + (z * w.in[1] + y) * w.in[2] + x);
}

#endif
