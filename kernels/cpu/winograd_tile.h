/* Winograd's transforms of one tile, F(2,3) along every axis, VEC channels at a time, in registers.
 * Points and taps are numbered z-major: (z * 4 + y) * 4 + x. */
#ifndef KERNELS_CPU_WINOGRAD_TILE_H
#define KERNELS_CPU_WINOGRAD_TILE_H

#include "kernels/cpu/winograd_axis.h"
#include "kernels/cpu/winograd_line.h"

enum {
  DEEP = 2, /* outputs of a tile along D */
  SIDE = 2, /* and along H and W */
  LINES = 16,
  POINTS = 64,
  TAPS = 27,
  PLAIN = 21, /* the point whose value is the plain sum over a tile's outputs */
  PLANES = 64,
};

/* One column of a tile's input (all z and y at one x), transformed along z and y. */
INLINE void column_in(const Lines *lines, Vec column[LINES], DType type) {
  for (int i = 0; i < LINES; i++) column[i] = real_load(lines->at[i], 0, type);
  for (int z = 0; z < 4; z++)
    four_of_inputs(&column[4 * z], &column[4 * z + 1], &column[4 * z + 2], &column[4 * z + 3]);
  for (int y = 0; y < 4; y++)
    four_of_inputs(&column[y], &column[y + 4], &column[y + 8], &column[y + 12]);
}

/* Four columns to the 64 points of a tile, `plane` elements from one point to the next. */
INLINE void columns_to_points(const Vec left[2][16], const Vec right[2][16], Point *to,
                              int64_t plane, Pairing pairing) {
  for (int i = 0; i < 16; i++) {
    Vec a = left[0][i], b = left[1][i], c = right[0][i], d = right[1][i];
    four_of_inputs(&a, &b, &c, &d);
    Point *point = to + 4 * i * plane;
    point_store(point, a, pairing);
    point_store(point + plane, b, pairing);
    point_store(point + 2 * plane, c, pairing);
    point_store(point + 3 * plane, d, pairing);
  }
}

/* At: the 64 points of a tile to its 2x2x2 outputs. */
INLINE void points_to_outputs(const float *from, int64_t plane, Vec out[8]) {
  Vec rows[4][4]; /* z; y and x of the outputs */
  for (int z = 0; z < 4; z++) {
    Vec line[4][2];
    for (int y = 0; y < 4; y++) {
      const float *point = from + (z * 4 + y) * 4 * plane;
      Vec a = vec_load(point), b = vec_load(point + plane), c = vec_load(point + 2 * plane),
          d = vec_load(point + 3 * plane);
      outputs_of_four(a, b, c, d, line[y]);
    }
    for (int x = 0; x < 2; x++) {
      Vec out_y[2];
      outputs_of_four(line[0][x], line[1][x], line[2][x], line[3][x], out_y);
      rows[z][x] = out_y[0], rows[z][2 + x] = out_y[1];
    }
  }
  for (int i = 0; i < 4; i++) {
    Vec out_z[2];
    outputs_of_four(rows[0][i], rows[1][i], rows[2][i], rows[3][i], out_z);
    out[i] = out_z[0], out[4 + i] = out_z[1];
  }
}

/* The transposed At along y and x: half[z of the outputs][y and x points]. */
INLINE void outputs_to_planes(const Vec in[8], Vec half[2][16]) {
  for (int z = 0; z < 2; z++) {
    Vec line[2][4];
    for (int y = 0; y < 2; y++) {
      four_of_outputs(in[z * 4 + y * 2], in[z * 4 + y * 2 + 1], line[y]);
    }
    for (int x = 0; x < 4; x++) {
      Vec column[4];
      four_of_outputs(line[0][x], line[1][x], column);
      for (int y = 0; y < 4; y++) half[z][4 * y + x] = column[y];
    }
  }
}

/* Gradients of 2x2x2 outputs to 64 points. */
INLINE void outputs_to_points(const Vec in[8], Point *to, int64_t plane, Pairing pairing) {
  Vec half[2][16];
  outputs_to_planes(in, half);
  for (int i = 0; i < 16; i++) {
    Vec a = half[0][i], b = half[1][i];
    point_store(to + i * plane, a, pairing);
    point_store(to + (16 + i) * plane, a + b, pairing);
    point_store(to + (32 + i) * plane, a - b, pairing);
    point_store(to + (48 + i) * plane, -b, pairing);
  }
}

/* The same of an even tile and the odd one after it. */
INLINE void outputs_to_points_pair(const Vec even[8], const Vec odd[8], Point *to, int64_t plane) {
  Vec half[2][16], next[2][16];
  outputs_to_planes(even, half);
  outputs_to_planes(odd, next);
  for (int i = 0; i < 16; i++) {
    Vec a = half[0][i], b = half[1][i], c = next[0][i], d = next[1][i];
    point_store_pair(to + i * plane, a, c);
    point_store_pair(to + (16 + i) * plane, a + b, c + d);
    point_store_pair(to + (32 + i) * plane, a - b, c - d);
    point_store_pair(to + (48 + i) * plane, -b, -d);
  }
}

/* columns_to_points of an even tile and the odd one after it. */
INLINE void columns_to_points_pair(const Vec left[2][16], const Vec middle[2][16],
                                   const Vec right[2][16], Point *to, int64_t plane) {
  for (int i = 0; i < 16; i++) {
    Vec a = left[0][i], b = left[1][i], c = middle[0][i], d = middle[1][i];
    Vec e = c, f = d, g = right[0][i], h = right[1][i];
    four_of_inputs(&a, &b, &c, &d);
    four_of_inputs(&e, &f, &g, &h);
    Point *point = to + 4 * i * plane;
    point_store_pair(point, a, e);
    point_store_pair(point + plane, b, f);
    point_store_pair(point + 2 * plane, c, g);
    point_store_pair(point + 3 * plane, d, h);
  }
}

/* G: 27 taps, `tap` floats apart (negative: turned around), to 64 points. */
INLINE void taps_to_points(const float *from, int64_t tap, float *to, int64_t plane) {
  Vec solid[3][16]; /* z taps; y and x points */
  for (int z = 0; z < 3; z++) {
    Vec line[3][4];
    for (int y = 0; y < 3; y++) {
      const float *at = from + (z * 3 + y) * 3 * tap;
      four_of_taps(vec_load(at), vec_load(at + tap), vec_load(at + 2 * tap), line[y]);
    }
    for (int x = 0; x < 4; x++) {
      Vec column[4];
      four_of_taps(line[0][x], line[1][x], line[2][x], column);
      for (int y = 0; y < 4; y++) solid[z][4 * y + x] = column[y];
    }
  }
  for (int i = 0; i < 16; i++) {
    Vec out[4];
    four_of_taps(solid[0][i], solid[1][i], solid[2][i], out);
    for (int z = 0; z < 4; z++) vec_store(to + (16 * z + i) * plane, out[z]);
  }
}

/* The transposed G: gradients at 64 points to 27 taps. */
INLINE void points_to_taps(const float *from, int64_t plane, float *to, int64_t tap) {
  Vec solid[4][9]; /* z points; y and x taps */
  for (int z = 0; z < 4; z++) {
    Vec line[4][3], out[3];
    for (int y = 0; y < 4; y++) {
      const float *point = from + (z * 4 + y) * 4 * plane;
      taps_of_four(vec_load(point), vec_load(point + plane), vec_load(point + 2 * plane),
                   vec_load(point + 3 * plane), line[y]);
    }
    for (int x = 0; x < 3; x++) {
      taps_of_four(line[0][x], line[1][x], line[2][x], line[3][x], out);
      for (int y = 0; y < 3; y++) solid[z][3 * y + x] = out[y];
    }
  }
  for (int i = 0; i < 9; i++) {
    Vec out[3];
    taps_of_four(solid[0][i], solid[1][i], solid[2][i], solid[3][i], out);
    for (int z = 0; z < 3; z++) vec_store(to + (9 * z + i) * tap, out[z]);
  }
}

#endif
