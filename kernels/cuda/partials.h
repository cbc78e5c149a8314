/* The second stage of sums over the voxels of each sample: parts of a sample are summed by a block
 * each, in a fixed order, and their sums are added here, in a fixed order too. How many parts there
 * are depends on the shape alone, so the bits are the same on every device. */
#ifndef KERNELS_CUDA_PARTIALS_H
#define KERNELS_CUDA_PARTIALS_H

#include "kernels/cuda/launch.h"

enum { PARTS_MOST = 512, PARTIAL_GROUPS = 8 };

/* Parts of a sample of so many rows, `rows` at a time a block: some turns of the loop each. */
static inline int parts_count(int64_t samples, int64_t count, int64_t rows) {
  int64_t wanted = count / (8 * rows) + 1, most = PARTS_MOST / (samples < 8 ? samples : 8);
  return (int)(wanted < most ? wanted : most);
}

/* out (N, width) = sum over p of partial (N, parts, width), with `adds` added to what is there.
 * blockIdx.y: n. */
static __global__ void __launch_bounds__(32 * PARTIAL_GROUPS)
    partials_finish(int parts, int width, const float *partial, bool adds, float *out) {
  SHARED(float, shared, [PARTIAL_GROUPS][32]);
  int lane = (int)threadIdx.x % 32, group = (int)threadIdx.x / 32;
  int column = (int)blockIdx.x * 32 + lane;
  const float *at = partial + (int64_t)blockIdx.y * parts * width + column;
  float sum = 0;
  if (column < width)
    for (int p = group; p < parts; p += PARTIAL_GROUPS) sum += at[(int64_t)p * width];
  shared[group][lane] = sum;
  __syncthreads();
  if (group > 0 || column >= width) return;
  for (int g = 1; g < PARTIAL_GROUPS; g++) sum += shared[g][lane];
  float *to = out + (int64_t)blockIdx.y * width + column;
  *to = adds ? *to + sum : sum;
}

static inline void partials_sum(void *stream, int64_t samples, int parts, int width,
                                const float *partial, float *out, bool adds = false) {
  LAUNCH(partials_finish, dim3((unsigned)(width + 31) / 32, (unsigned)samples), 32 * PARTIAL_GROUPS,
         0, stream, parts, width, partial, adds, out);
}

/* The sum of item `at` + s * stride over s, by one thread. */
static __device__ __forceinline__ float strided_sum(const float *at, int count, int stride) {
  float sum = 0;
  for (int s = 0; s < count; s++) sum += at[s * stride];
  return sum;
}

#endif
