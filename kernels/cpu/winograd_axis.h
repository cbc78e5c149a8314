/* Winograd's transforms along one axis of a tile, in registers: F(2,3), two outputs from four
 * points (0, +-1, infinity), and F(4,3), four from six. Their points are 0, +-2/3, +-4/3 and
 * infinity, which keeps what rounding leaves at half that of the usual 0, +-1, +-2 (over a slice of
 * 64 channels in the root mean square: 6.9e-7 of an output, 1.5e-6 of a weight's gradient, where
 * these leave 1.6e-6 and 1.1e-5, direct sums 4.7e-7 and 5.6e-7); G's numbers stay whole parts of
 * 128. */
#ifndef KERNELS_CPU_WINOGRAD_AXIS_H
#define KERNELS_CPU_WINOGRAD_AXIS_H

#include "kernels/cpu/simd.h"

/* ---- four points ----------------------------------------------------------------------------- */

/* Bt, in place. */
INLINE void four_of_inputs(Vec *a, Vec *b, Vec *c, Vec *d) {
  Vec p = *a - *c, q = *b + *c, r = *c - *b, s = *b - *d;
  *a = p, *b = q, *c = r, *d = s;
}

/* At: to two outputs. */
INLINE void outputs_of_four(Vec a, Vec b, Vec c, Vec d, Vec out[2]) {
  out[0] = a + b + c;
  out[1] = b - c - d;
}

/* The transposed At: of the gradients of two outputs. */
INLINE void four_of_outputs(Vec a, Vec b, Vec out[4]) {
  out[0] = a, out[1] = a + b, out[2] = a - b, out[3] = -b;
}

/* G: of three taps. */
INLINE void four_of_taps(Vec a, Vec b, Vec c, Vec out[4]) {
  Vec even = (a + c) * .5f, odd = b * .5f;
  out[0] = a, out[1] = even + odd, out[2] = even - odd, out[3] = c;
}

/* The transposed G: gradients at the points to those of three taps. */
INLINE void taps_of_four(Vec a, Vec b, Vec c, Vec d, Vec out[3]) {
  Vec sum = (b + c) * .5f;
  out[0] = a + sum;
  out[1] = (b - c) * .5f;
  out[2] = sum + d;
}

/* ---- six points ------------------------------------------------------------------------------ */

/* Bt, in place. */
INLINE void six_of_inputs(Vec v[6]) {
  const float a = 2.f / 3, b = 4.f / 3, aa = 4.f / 9, bb = 16.f / 9;
  Vec d0 = v[0], d1 = v[1], d2 = v[2], d3 = v[3], d4 = v[4], d5 = v[5];
  Vec even = d4 - bb * d2, odd = d3 - bb * d1;
  v[0] = aa * bb * d0 + (d4 - (aa + bb) * d2);
  v[1] = even + a * odd;
  v[2] = even - a * odd;
  even = d4 - aa * d2, odd = d3 - aa * d1;
  v[3] = even + b * odd;
  v[4] = even - b * odd;
  v[5] = aa * bb * d1 + (d5 - (aa + bb) * d3);
}

/* At: to four outputs. */
INLINE void outputs_of_six(const Vec in[6], Vec out[4]) {
  const float a = 2.f / 3, b = 4.f / 3, aa = 4.f / 9, bb = 16.f / 9;
  Vec even = in[1] + in[2], odd = in[1] - in[2], far_even = in[3] + in[4], far_odd = in[3] - in[4];
  out[0] = in[0] + even + far_even;
  out[1] = a * odd + b * far_odd;
  out[2] = aa * even + bb * far_even;
  out[3] = a * aa * odd + (b * bb * far_odd + in[5]);
}

/* The transposed At: of the gradients of four outputs. */
INLINE void six_of_outputs(Vec y0, Vec y1, Vec y2, Vec y3, Vec out[6]) {
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

/* G: of three taps. */
INLINE void six_of_taps(Vec w0, Vec w1, Vec w2, Vec out[6]) {
  Vec even = w0 * (-27.f / 32) - w2 * (3.f / 8), odd = w1 * (9.f / 16);
  out[0] = w0 * (81.f / 64);
  out[1] = even - odd;
  out[2] = even + odd;
  even = w0 * (27.f / 128) + w2 * (3.f / 8), odd = w1 * (9.f / 32);
  out[3] = even + odd;
  out[4] = even - odd;
  out[5] = w2;
}

/* The transposed G: gradients at the points to those of three taps. */
INLINE void taps_of_six(const Vec in[6], Vec out[3]) {
  Vec even = in[1] + in[2], odd = in[1] - in[2], far_even = in[3] + in[4], far_odd = in[3] - in[4];
  out[0] = in[0] * (81.f / 64) - even * (27.f / 32) + far_even * (27.f / 128);
  out[1] = far_odd * (9.f / 32) - odd * (9.f / 16);
  out[2] = (far_even - even) * (3.f / 8) + in[5];
}

#endif
