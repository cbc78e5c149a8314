/* What avg_pool, max_pool and nearest_labels share: blocks of factor[0] x factor[1] x factor[2]
 * voxels become one. */
#ifndef KERNELS_POOL_H
#define KERNELS_POOL_H

#include "kernels/options.h"

/* Fills `dim` (rank of x) with the coarser sizes, or says what does not divide. x: (N, D, H, W) or
 * (N, D, H, W, C). */
bool pool_shape(const char *op, const Ints *factor, const Tensor *x, int64_t *dim, Error *error);

#endif
