/* What lies where along one axis of `in` voxels and one of `out`, for host and device: what resize
 * reads, and the cells of adaptive_avg_pool. */
#ifndef KERNELS_CELLS_H
#define KERNELS_CELLS_H

#include "base/host_device.h"

#include <stdint.h>

/* Resize, linear (align_corners false): the two voxels that output i reads, and their shares. */
HOST_DEVICE void linear_source(int64_t i, int64_t in, int64_t out, int64_t at[2], double share[2]) {
  double position = ((double)i + .5) * (double)in / (double)out - .5;
  if (position < 0) position = 0;
  at[0] = (int64_t)position;
  at[1] = at[0] + 1 < in ? at[0] + 1 : at[0];
  share[1] = position - (double)at[0];
  share[0] = 1 - share[1];
}

/* Nearest: output i reads this voxel, and the first output that reads voxel j or one beyond. */
HOST_DEVICE int64_t nearest_source(int64_t i, int64_t in, int64_t out) {
  return i * in / out;
}
HOST_DEVICE int64_t nearest_reader(int64_t j, int64_t in, int64_t out) {
  return (j * out + in - 1) / in;
}

/* Pool: cell i has the voxels [first, end). */
HOST_DEVICE int64_t cell_first(int64_t i, int64_t in, int64_t out) {
  return i * in / out;
}
HOST_DEVICE int64_t cell_end(int64_t i, int64_t in, int64_t out) {
  return ((i + 1) * in + out - 1) / out;
}

/* And the cells that have voxel j: from the first that ends behind it to before the first that
 * begins behind it. */
HOST_DEVICE int64_t cells_first(int64_t j, int64_t in, int64_t out) {
  return j * out / in;
}
HOST_DEVICE int64_t cells_end(int64_t j, int64_t in, int64_t out) {
  return ((j + 1) * out + in - 1) / in;
}

#endif
