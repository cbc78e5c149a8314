/* Where the points of Winograd's tiles lie. Included after a tile's header, which says what a point
 * is. */
#ifndef KERNELS_CPU_WINOGRAD_PLANES_H
#define KERNELS_CPU_WINOGRAD_PLANES_H

#include "kernels/cpu/winograd_product.h"

enum { LINE = 64 }; /* bytes of a line of a cache */

static int64_t clamp(int64_t value, int64_t low, int64_t high) {
  return value < low ? low : value > high ? high : value;
}

static int64_t rounded(int64_t value, int64_t step) {
  return (value + step - 1) / step * step;
}

/* Values of `count` tiles at every point: planes of (count, channels), or, in panels, of (channels
 * / PANEL, count / PAIR, PANEL, PAIR) with a narrower last panel. Points, or float sums of
 * products. */
typedef struct Planes {
  void *data;
  int64_t plane, count, channels;
  bool panels;
} Planes;

/* Elements from one plane to the next: an odd number of lines of a cache, or the points of a tile
 * would meet in few sets. */
static int64_t plane_step(int64_t count, int64_t channels, size_t element) {
  int64_t lines = (count * channels * (int64_t)element + LINE - 1) / LINE | 1;
  return lines * LINE / (int64_t)element;
}

static Planes planes_make(void *data, int64_t count, int64_t channels, size_t element,
                          bool panels) {
  return (Planes){data, plane_step(count, channels, element), count, channels, panels};
}

static int64_t planes_bytes(int64_t planes, int64_t count, int64_t channels, size_t element) {
  return planes * plane_step(count, channels, element) * (int64_t)element;
}

static int64_t panel_width(int64_t channels, int64_t c) {
  int64_t left = channels - c / PANEL * PANEL;
  return left < PANEL ? left : PANEL;
}

/* The element of a tile (in panels: of its pair's first) and a channel in the first plane. */
static int64_t place(const Planes *p, int64_t tile, int64_t c) {
  if (!p->panels) return tile * p->channels + c;
  int64_t width = panel_width(p->channels, c);
  return c / PANEL * PANEL * p->count + tile / PAIR * PAIR * width + c % PANEL * PAIR;
}

static Point *point_at(const Planes *p, int64_t tile, int64_t c) {
  return (Point *)p->data + place(p, tile, c);
}

static float *sum_at(const Planes *p, int64_t tile, int64_t c) {
  return (float *)p->data + place(p, tile, c);
}

/* The taps of VEC x VEC weights with the output channel fastest: to[tap][i][o]; w: (outs, taps,
 * ins). */
static inline void turn(const float *w, int64_t taps, int64_t ins, float *to) {
  for (int64_t tap = 0; tap < taps; tap++, w += ins)
    for (int i = 0; i < VEC; i += 4, to += 4 * VEC) {
      Vec row[4];
      for (int o = 0; o < 4; o++) row[o] = vec_load_fours(w + o * taps * ins + i, 4 * taps * ins);
      for (int upper = 0; upper < 2; upper++) {
        Vec near = vec_zip(row[0], row[1], upper), far = vec_zip(row[2], row[3], upper);
        vec_store(to + 2 * upper * VEC, vec_join(near, far, false));
        vec_store(to + (2 * upper + 1) * VEC, vec_join(near, far, true));
      }
    }
}

#endif
