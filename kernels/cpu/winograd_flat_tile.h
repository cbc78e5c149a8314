/* Winograd's transforms of one tile of a slice, F(4,3) along H and W, VEC channels at a time.
 * Points and taps are numbered y-major: y * 6 + x. The polynomials are evaluated at 0, +-2/3, +-4/3
 * and infinity, which keeps what rounding leaves at half that of the usual 0, +-1, +-2 (of 64
 * channels in the root mean square: 6.9e-7 of an output, 1.5e-6 of a weight's gradient, where these
 * leave 1.6e-6 and 1.1e-5, direct sums 4.7e-7 and 5.6e-7); G's numbers stay whole parts of 128. */
#ifndef KERNELS_CPU_WINOGRAD_FLAT_TILE_H
#define KERNELS_CPU_WINOGRAD_FLAT_TILE_H

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

/* Bt, in place: six vectors `step` apart. */
INLINE void points_of_inputs(Vec *v, int step) {
  const float a = 2.f / 3, b = 4.f / 3, aa = 4.f / 9, bb = 16.f / 9;
  Vec d0 = v[0], d1 = v[step], d2 = v[2 * step], d3 = v[3 * step], d4 = v[4 * step],
      d5 = v[5 * step];
  Vec even = d4 - bb * d2, odd = d3 - bb * d1;
  v[0] = aa * bb * d0 + (d4 - (aa + bb) * d2);
  v[step] = even + a * odd;
  v[2 * step] = even - a * odd;
  even = d4 - aa * d2, odd = d3 - aa * d1;
  v[3 * step] = even + b * odd;
  v[4 * step] = even - b * odd;
  v[5 * step] = aa * bb * d1 + (d5 - (aa + bb) * d3);
}

/* At: six points to four outputs. */
INLINE void outputs_of_points(const Vec in[6], Vec out[4]) {
  const float a = 2.f / 3, b = 4.f / 3, aa = 4.f / 9, bb = 16.f / 9;
  Vec even = in[1] + in[2], odd = in[1] - in[2], far_even = in[3] + in[4], far_odd = in[3] - in[4];
  out[0] = in[0] + even + far_even;
  out[1] = a * odd + b * far_odd;
  out[2] = aa * even + bb * far_even;
  out[3] = a * aa * odd + (b * bb * far_odd + in[5]);
}

/* The transposed At: gradients of four outputs to six points. */
INLINE void points_of_outputs(Vec y0, Vec y1, Vec y2, Vec y3, Vec out[6]) {
  const float a = 2.f / 3, b = 4.f / 3, aa = 4.f / 9, bb = 16.f / 9;
  Vec even = y0 + aa * y2, odd = a * y1 + a * aa * y3;
  out[0] = y0;
  out[1] = even + odd;
  out[2] = even - odd;
  even = y0 + bb * y2, odd = b * y1 + b * bb * y3;
  out[3] = even + odd;
  out[4] = even - odd;
  out[5] = y3;
}

/* G: three taps to six points. */
INLINE void points_of_taps(Vec w0, Vec w1, Vec w2, Vec out[6]) {
  Vec even = w0 * (-27.f / 32) - w2 * (3.f / 8), odd = w1 * (9.f / 16);
  out[0] = w0 * (81.f / 64);
  out[1] = even - odd;
  out[2] = even + odd;
  even = w0 * (27.f / 128) + w2 * (3.f / 8), odd = w1 * (9.f / 32);
  out[3] = even + odd;
  out[4] = even - odd;
  out[5] = w2;
}

/* The transposed G: gradients at six points to three taps. */
INLINE void taps_of_points(const Vec in[6], Vec out[3]) {
  Vec even = in[1] + in[2], odd = in[1] - in[2], far_even = in[3] + in[4], far_odd = in[3] - in[4];
  out[0] = in[0] * (81.f / 64) - even * (27.f / 32) + far_even * (27.f / 128);
  out[1] = far_odd * (9.f / 32) - odd * (9.f / 16);
  out[2] = (far_even - even) * (3.f / 8) + in[5];
}

/* One column of a tile's input (all y at one x), transformed along y. */
INLINE void column_in(const Lines *lines, int64_t x, Vec column[LINES], DType type) {
  if (x < 0 || x >= lines->width) {
    for (int i = 0; i < LINES; i++) column[i] = (Vec){0};
    return;
  }
  for (int i = 0; i < LINES; i++) column[i] = real_load(lines->at[i], x * lines->step[i], type);
  points_of_inputs(column, 1);
}

/* Six columns to the points of a tile, `plane` elements from one point to the next. */
INLINE void columns_to_points(const Vec left[2][LINES], const Vec right[SIDE][LINES], Point *to,
                              int64_t plane, Pairing pairing) {
  for (int i = 0; i < LINES; i++) {
    Vec line[6];
    for (int x = 0; x < 6; x++) line[x] = x < 2 ? left[x][i] : right[x - 2][i];
    points_of_inputs(line, 1);
    for (int x = 0; x < 6; x++) point_store(to + (6 * i + x) * plane, line[x], pairing);
  }
}

/* The points of a tile to its 4x4 outputs. */
INLINE void points_to_outputs(const float *from, int64_t plane, Vec out[SIDE * SIDE]) {
  Vec half[SIDE][6]; /* x of the outputs; y points */
  for (int y = 0; y < 6; y++) {
    Vec points[6], line[SIDE];
    for (int x = 0; x < 6; x++) points[x] = vec_load(from + (6 * y + x) * plane);
    outputs_of_points(points, line);
    for (int x = 0; x < SIDE; x++) half[x][y] = line[x];
  }
  for (int x = 0; x < SIDE; x++) {
    Vec line[SIDE];
    outputs_of_points(half[x], line);
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
    points_of_outputs(in[4 * y], in[4 * y + 1], in[4 * y + 2], in[4 * y + 3], half[y]);
  for (int x = 0; x < 6; x++) {
    Vec line[6];
    points_of_outputs(half[0][x], half[1][x], half[2][x], half[3][x], line);
    for (int y = 0; y < 6; y++) point_store(to + (6 * y + x) * plane, line[y], pairing);
  }
}

/* Nine taps, `tap` floats apart (negative: turned around), to the points. */
INLINE void taps_to_points(const float *from, int64_t tap, float *to, int64_t plane) {
  Vec half[3][6]; /* y taps; x points */
  for (int y = 0; y < 3; y++) {
    const float *at = from + 3 * y * tap;
    points_of_taps(vec_load(at), vec_load(at + tap), vec_load(at + 2 * tap), half[y]);
  }
  for (int x = 0; x < 6; x++) {
    Vec line[6];
    points_of_taps(half[0][x], half[1][x], half[2][x], line);
    for (int y = 0; y < 6; y++) vec_store(to + (6 * y + x) * plane, line[y]);
  }
}

/* Gradients at the points to nine taps. */
INLINE void points_to_taps(const float *from, int64_t plane, float *to, int64_t tap) {
  Vec half[3][6]; /* x taps; y points */
  for (int y = 0; y < 6; y++) {
    Vec points[6], line[3];
    for (int x = 0; x < 6; x++) points[x] = vec_load(from + (6 * y + x) * plane);
    taps_of_points(points, line);
    for (int x = 0; x < 3; x++) half[x][y] = line[x];
  }
  for (int x = 0; x < 3; x++) {
    Vec line[3];
    taps_of_points(half[x], line);
    for (int y = 0; y < 3; y++) vec_store(to + (3 * y + x) * tap, line[y]);
  }
}

#endif
