/* Winograd's transforms of one tile of a slice, F(4,3) along H and W, VEC channels at a time.
 * Points and taps are numbered y-major: y * 6 + x. */
#ifndef KERNELS_CPU_WINOGRAD_FLAT_TILE_H
#define KERNELS_CPU_WINOGRAD_FLAT_TILE_H

#include "kernels/cpu/winograd_axis.h"
#include "kernels/cpu/winograd_line.h"

enum {
  DEEP = 1, /* outputs of a tile along D */
  SIDE = 4, /* and along H and W */
  LINES = 6,
  POINTS = 36,
  TAPS = 9,
  PLAIN = 36, /* a plane of its own for the plain sum over a tile's outputs */
  PLANES = 37,
};

/* One column of a tile's input (all y at one x), transformed along y. */
INLINE void column_in(const Lines *lines, Vec column[LINES], DType type) {
  for (int i = 0; i < LINES; i++) column[i] = real_load(lines->at[i], 0, type);
  six_of_inputs(column);
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

/* The points of a tile to its 4x4 outputs. */
INLINE void points_to_outputs(const float *from, int64_t plane, Vec out[SIDE * SIDE]) {
  Vec half[SIDE][6]; /* x of the outputs; y points */
  for (int y = 0; y < 6; y++) {
    Vec points[6], line[SIDE];
    for (int x = 0; x < 6; x++) points[x] = vec_load(from + (6 * y + x) * plane);
    outputs_of_six(points, line);
    for (int x = 0; x < SIDE; x++) half[x][y] = line[x];
  }
  for (int x = 0; x < SIDE; x++) {
    Vec line[SIDE];
    outputs_of_six(half[x], line);
    for (int y = 0; y < SIDE; y++) out[SIDE * y + x] = line[y];
  }
}

/* Gradients of 4x4 outputs to the points and to their plain sum. */
INLINE void outputs_to_points(const Vec in[SIDE * SIDE], Point *to, int64_t plane,
                              Pairing pairing) {
  Vec half[SIDE][6], sum = {0}; /* y of the outputs; x points */
  for (int i = 0; i < SIDE * SIDE; i++) sum += in[i];
  point_store(to + PLAIN * plane, sum, pairing);
  for (int y = 0; y < SIDE; y++)
    six_of_outputs(in[4 * y], in[4 * y + 1], in[4 * y + 2], in[4 * y + 3], half[y]);
  for (int x = 0; x < 6; x++) {
    Vec line[6];
    six_of_outputs(half[0][x], half[1][x], half[2][x], half[3][x], line);
    for (int y = 0; y < 6; y++) point_store(to + (6 * y + x) * plane, line[y], pairing);
  }
}

/* Nine taps, `tap` floats apart (negative: turned around), to the points. */
INLINE void taps_to_points(const float *from, int64_t tap, float *to, int64_t plane) {
  Vec half[3][6]; /* y taps; x points */
  for (int y = 0; y < 3; y++) {
    const float *at = from + 3 * y * tap;
    six_of_taps(vec_load(at), vec_load(at + tap), vec_load(at + 2 * tap), half[y]);
  }
  for (int x = 0; x < 6; x++) {
    Vec line[6];
    six_of_taps(half[0][x], half[1][x], half[2][x], line);
    for (int y = 0; y < 6; y++) vec_store(to + (6 * y + x) * plane, line[y]);
  }
}

/* Gradients at the points to nine taps. */
INLINE void points_to_taps(const float *from, int64_t plane, float *to, int64_t tap) {
  Vec half[3][6]; /* x taps; y points */
  for (int y = 0; y < 6; y++) {
    Vec points[6], line[3];
    for (int x = 0; x < 6; x++) points[x] = vec_load(from + (6 * y + x) * plane);
    taps_of_six(points, line);
    for (int x = 0; x < 3; x++) half[x][y] = line[x];
  }
  for (int x = 0; x < 3; x++) {
    Vec line[3];
    taps_of_six(half[x], line);
    for (int y = 0; y < 3; y++) vec_store(to + (3 * y + x) * tap, line[y]);
  }
}

#endif
