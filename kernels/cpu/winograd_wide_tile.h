/* Winograd's transforms of one tile, F(2,3) along D and F(4,3) along H and W, VEC channels at a
 * time. Points are numbered z-major: (z * 6 + y) * 6 + x, taps (z * 3 + y) * 3 + x. A column or a
 * line that is at hand is not written down between two axes: z is transformed as numbers are read
 * or written, y and x between. */
#ifndef KERNELS_CPU_WINOGRAD_WIDE_TILE_H
#define KERNELS_CPU_WINOGRAD_WIDE_TILE_H

#include "kernels/cpu/winograd_axis.h"
#include "kernels/cpu/winograd_line.h"

enum {
  DEEP = 2, /* outputs of a tile along D */
  SIDE = 4, /* and along H and W */
  LINES = 24,
  SLICE = 36, /* points of one z */
  POINTS = 4 * SLICE,
  TAPS = 27,
  PLAIN = POINTS, /* a plane of its own for the plain sum over a tile's outputs */
  PLANES,
};

/* The points of one z, a constant: the sums that the others would need are not made. */
INLINE Vec point_of_inputs(int z, Vec a, Vec b, Vec c, Vec d) {
  four_of_inputs(&a, &b, &c, &d);
  return z == 0 ? a : z == 1 ? b : z == 2 ? c : d;
}

INLINE void column_slice(const Lines *lines, int z, Vec column[6], DType type) {
  Vec v[6];
  for (int y = 0; y < 6; y++)
    v[y] = point_of_inputs(
        z, real_load(lines->at[y], 0, type), real_load(lines->at[6 + y], 0, type),
        real_load(lines->at[12 + y], 0, type), real_load(lines->at[18 + y], 0, type));
  six_of_inputs(v);
  for (int y = 0; y < 6; y++) column[y] = v[y];
}

/* One column of a tile's input (all z and y at one x), transformed along z and y. */
INLINE void column_in(const Lines *lines, Vec column[LINES], DType type) {
  column_slice(lines, 0, column, type);
  column_slice(lines, 1, column + 6, type);
  column_slice(lines, 2, column + 12, type);
  column_slice(lines, 3, column + 18, type);
}

/* Six columns to the points of a tile, `plane` elements from one point to the next. */
INLINE void columns_to_points(const Vec left[2][LINES], const Vec right[SIDE][LINES], Point *to,
                              int64_t plane, Pairing pairing) {
  for (int i = 0; i < LINES; i++) {
    Vec line[6];
    for (int x = 0; x < 6; x++) line[x] = x < 2 ? left[x][i] : right[x - 2][i];
    six_of_inputs(line);
    for (int x = 0; x < 6; x++) point_store(to + (6 * i + x) * plane, line[x], pairing);
  }
}

/* The points of a tile to its 2x4x4 outputs. */
INLINE void points_to_outputs(const float *from, int64_t plane, Vec out[DEEP * SIDE * SIDE]) {
  Vec half[DEEP][SIDE][6]; /* z and x of the outputs; y points */
  for (int y = 0; y < 6; y++) {
    Vec points[DEEP][6], line[SIDE];
    for (int x = 0; x < 6; x++) {
      const float *at = from + (6 * y + x) * plane;
      Vec both[DEEP];
      outputs_of_four(vec_load(at), vec_load(at + SLICE * plane), vec_load(at + 2 * SLICE * plane),
                      vec_load(at + 3 * SLICE * plane), both);
      for (int z = 0; z < DEEP; z++) points[z][x] = both[z];
    }
    for (int z = 0; z < DEEP; z++) {
      outputs_of_six(points[z], line);
      for (int x = 0; x < SIDE; x++) half[z][x][y] = line[x];
    }
  }
  for (int i = 0; i < DEEP * SIDE; i++) {
    int z = i / SIDE, x = i % SIDE;
    Vec line[SIDE];
    outputs_of_six(half[z][x], line);
    for (int y = 0; y < SIDE; y++) out[(SIDE * z + y) * SIDE + x] = line[y];
  }
}

/* Gradients of 2x4x4 outputs to the points and to their plain sum. */
INLINE void outputs_to_points(const Vec in[DEEP * SIDE * SIDE], Point *to, int64_t plane,
                              Pairing pairing) {
  Vec half[6][DEEP * SIDE], sum = {0}; /* x points; z and y of the outputs */
  for (int i = 0; i < DEEP * SIDE * SIDE; i++) sum += in[i];
  point_store(to + PLAIN * plane, sum, pairing);
  for (int i = 0; i < DEEP * SIDE; i++) {
    Vec line[6];
    six_of_outputs(in[4 * i], in[4 * i + 1], in[4 * i + 2], in[4 * i + 3], line);
    for (int x = 0; x < 6; x++) half[x][i] = line[x];
  }
  for (int x = 0; x < 6; x++) {
    Vec near[6], far[6]; /* z of the outputs */
    six_of_outputs(half[x][0], half[x][1], half[x][2], half[x][3], near);
    six_of_outputs(half[x][4], half[x][5], half[x][6], half[x][7], far);
    for (int y = 0; y < 6; y++) {
      Vec line[4];
      four_of_outputs(near[y], far[y], line);
      for (int z = 0; z < 4; z++)
        point_store(to + (SLICE * z + 6 * y + x) * plane, line[z], pairing);
    }
  }
}

/* G: 27 taps, `tap` floats apart (negative: turned around), to the points. */
INLINE void taps_to_points(const float *from, int64_t tap, float *to, int64_t plane) {
  Vec solid[3][SLICE]; /* z taps; y and x points */
  for (int z = 0; z < 3; z++) {
    Vec half[3][6];
    for (int y = 0; y < 3; y++) {
      const float *at = from + (z * 3 + y) * 3 * tap;
      six_of_taps(vec_load(at), vec_load(at + tap), vec_load(at + 2 * tap), half[y]);
    }
    for (int x = 0; x < 6; x++) {
      Vec line[6];
      six_of_taps(half[0][x], half[1][x], half[2][x], line);
      for (int y = 0; y < 6; y++) solid[z][6 * y + x] = line[y];
    }
  }
  for (int i = 0; i < SLICE; i++) {
    Vec line[4];
    four_of_taps(solid[0][i], solid[1][i], solid[2][i], line);
    for (int z = 0; z < 4; z++) vec_store(to + (SLICE * z + i) * plane, line[z]);
  }
}

/* The transposed G: gradients at the points to 27 taps. */
INLINE void points_to_taps(const float *from, int64_t plane, float *to, int64_t tap) {
  Vec solid[9][4]; /* y and x taps; z points */
  for (int z = 0; z < 4; z++) {
    Vec half[3][6]; /* x taps; y points */
    for (int y = 0; y < 6; y++) {
      Vec points[6], line[3];
      for (int x = 0; x < 6; x++) points[x] = vec_load(from + (SLICE * z + 6 * y + x) * plane);
      taps_of_six(points, line);
      for (int x = 0; x < 3; x++) half[x][y] = line[x];
    }
    for (int x = 0; x < 3; x++) {
      Vec line[3];
      taps_of_six(half[x], line);
      for (int y = 0; y < 3; y++) solid[3 * y + x][z] = line[y];
    }
  }
  for (int i = 0; i < 9; i++) {
    Vec out[3];
    taps_of_four(solid[i][0], solid[i][1], solid[i][2], solid[i][3], out);
    for (int z = 0; z < 3; z++) vec_store(to + (9 * z + i) * tap, out[z]);
  }
}

#endif
