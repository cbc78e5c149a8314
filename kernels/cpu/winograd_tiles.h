/* The tiles of a map, numbered through. Included after a tile's header, which says how many outputs
 * it has. */
#ifndef KERNELS_CPU_WINOGRAD_TILES_H
#define KERNELS_CPU_WINOGRAD_TILES_H

#include "kernels/cpu/winograd.h"

static int64_t tiles_along(const Winograd *g, int axis) {
  int64_t outputs = axis ? SIDE : DEEP;
  return (g->out[axis] + outputs - 1) / outputs;
}

static int64_t tile_count(const Winograd *g) {
  return g->samples * tiles_along(g, 0) * tiles_along(g, 1) * tiles_along(g, 2);
}

/* A run of tiles that lie in one row along x. */
typedef struct Run {
  int64_t n, z, y, x, count; /* sample; tile coordinates of the first */
} Run;

static Run run_at(const Winograd *g, int64_t tile, int64_t end) {
  int64_t across = tiles_along(g, 2), down = tiles_along(g, 1), deep = tiles_along(g, 0);
  Run run = {tile / (deep * down * across), tile / (down * across) % deep, tile / across % down,
             tile % across, 0};
  run.count = across - run.x < end - tile ? across - run.x : end - tile;
  return run;
}

#endif
