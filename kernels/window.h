/* The window of op window_max around a voxel, cut at the map's border. */
#ifndef KERNELS_WINDOW_H
#define KERNELS_WINDOW_H

#include "kernels/options.h"

typedef struct Window {
  int64_t start;   /* the row of its first voxel */
  int64_t size[3]; /* what lies within the map */
  int64_t height, width;
} Window;

static inline Window window_at(const Call *call, int64_t row) {
  const int64_t *dim = call->in[0].dim;
  const int *size = ((const WindowMaxOptions *)call->options)->size.v;
  int64_t at[3] = {row / (dim[2] * dim[3]) % dim[1], row / dim[3] % dim[2], row % dim[3]}, first[3];
  Window window = {.height = dim[2], .width = dim[3]};
  for (int a = 0; a < 3; a++) {
    int64_t reach = size[a] / 2, end = at[a] + reach + 1;
    first[a] = at[a] > reach ? at[a] - reach : 0;
    window.size[a] = (end < dim[1 + a] ? end : dim[1 + a]) - first[a];
  }
  int64_t sample = row / (dim[1] * dim[2] * dim[3]);
  window.start = ((sample * dim[1] + first[0]) * dim[2] + first[1]) * dim[3] + first[2];
  return window;
}

static inline int64_t window_voxels(const Window *window) {
  return window->size[0] * window->size[1] * window->size[2];
}

/* The row of its voxel `tap`, in memory order. */
static inline int64_t window_row(const Window *window, int64_t tap) {
  int64_t x = tap % window->size[2], y = tap / window->size[2] % window->size[1];
  int64_t z = tap / (window->size[1] * window->size[2]);
  return window->start + (z * window->height + y) * window->width + x;
}

#endif
