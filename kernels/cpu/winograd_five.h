/* Winograd's transforms along one axis for convolutions of three taps with stride 2, for
 * winograd_slices.h: two outputs of five inputs. Those at odd places meet the middle tap alone, one
 * product each; the others the two outer taps, which is F(2,2), three products. So five points in
 * place of six products: both differences and the middle of the outer, then the inner ones.
 * Backward four numbers of x come of three gradients, at five points again (winograd_spread.h). The
 * third point has the sign by which it is added. */
#ifndef KERNELS_CPU_WINOGRAD_FIVE_H
#define KERNELS_CPU_WINOGRAD_FIVE_H

#include "kernels/cpu/simd.h"

enum { AXIS = 5 };

/* G: of three taps. */
INLINE void axis_taps(const Vec in[3], Vec out[AXIS]) {
  out[0] = in[0], out[1] = in[0] + in[2], out[2] = in[2], out[3] = out[4] = in[1];
}

/* The transposed G: gradients at the points to those of three taps. */
INLINE void axis_taps_back(const Vec in[AXIS], Vec out[3]) {
  out[0] = in[0] + in[1];
  out[1] = in[3] + in[4];
  out[2] = in[1] + in[2];
}

#endif
