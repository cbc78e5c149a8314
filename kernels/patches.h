/* The runs that op patches moves: p2 C elements lie side by side in the map and in a cell. For
 * patches.c and its fast forms. */
#ifndef KERNELS_PATCHES_H
#define KERNELS_PATCHES_H

#include "base/host_device.h"
#include "kernels/options.h"

typedef struct PatchSizes {
  int64_t lines, height, cells[3], edge[3], run; /* lines: N D H of the map; height: its H */
} PatchSizes;

/* `map` is the operand of a call that has voxels, in or out. */
static inline PatchSizes patch_sizes(const Call *call, const Tensor *map) {
  const int *edge = ((const PatchesOptions *)call->options)->patch.v;
  PatchSizes s = {.lines = map->dim[0] * map->dim[1] * map->dim[2], .height = map->dim[2]};
  for (int a = 0; a < 3; a++) {
    s.edge[a] = edge[a];
    s.cells[a] = map->dim[1 + a] / edge[a];
  }
  s.run = edge[2] * map->dim[4];
  return s;
}

/* Where run w of line `line` of the map lies among the cells, in runs: cell (n, d, h, w), then (z,
 * y) inside it. */
HOST_DEVICE int64_t patch_run(PatchSizes s, int64_t line, int64_t w) {
  int64_t depth = line / s.height, y = line % s.height; /* depth: N D as one axis */
  int64_t cell = (depth / s.edge[0] * s.cells[1] + y / s.edge[1]) * s.cells[2] + w;
  return (cell * s.edge[0] + depth % s.edge[0]) * s.edge[1] + y % s.edge[1];
}

#endif
