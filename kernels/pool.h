/* What avg_pool, max_pool and nearest_labels share: blocks of factor[0] x factor[1] x factor[2]
 * voxels become one. The two pools share their option, shape and windows too. */
#ifndef KERNELS_POOL_H
#define KERNELS_POOL_H

#include "kernels/options.h"

/* Fills `dim` (rank of x) with the coarser sizes of the call's input x, or says what does not
 * divide. x: (N, D, H, W) or (N, D, H, W, C). */
bool pool_dims(const Call *call, const Ints *factor, int64_t *dim, Error *error);

extern const Option pool_options[];        /* of a PoolOptions */
bool pool_shape(Call *call, Error *error); /* x and y (N, D, H, W, C) */

static inline int64_t pool_taps(const Call *call) { /* voxels of a window */
  const int *f = ((const PoolOptions *)call->options)->factor.v;
  return (int64_t)f[0] * f[1] * f[2];
}

/* Row of the input voxel at `tap` of the window of output row `row`. */
static inline int64_t pool_source(const Call *call, int64_t row, int64_t tap) {
  const int *f = ((const PoolOptions *)call->options)->factor.v;
  const int64_t *in = call->in[0].dim, *out = call->out[0].dim;
  int64_t z = row / (out[2] * out[3]) % out[1] * f[0] + tap / (f[1] * f[2]);
  int64_t y = row / out[3] % out[2] * f[1] + tap / f[2] % f[1];
  int64_t x = row % out[3] * f[2] + tap % f[2];
  int64_t n = row / (out[1] * out[2] * out[3]);
  return ((n * in[1] + z) * in[2] + y) * in[3] + x;
}

#endif
