/* Where op place puts what, along one axis. For place.c and its fast forms. */
#ifndef KERNELS_PLACE_H
#define KERNELS_PLACE_H

#include "base/host_device.h"
#include "kernels/options.h"

/* What lies at i of the output: an index of the input, or -1 for nothing. */
HOST_DEVICE int64_t placed_at(int64_t i, int64_t in, int64_t before, int64_t stride) {
  int64_t from = (i - before) / stride;
  return i >= before && (i - before) % stride == 0 && from < in ? from : -1;
}

#endif
