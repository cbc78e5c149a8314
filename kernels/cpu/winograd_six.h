/* F(4,3) along H and W, for winograd_slices.h: four outputs of six inputs at six points. */
#ifndef KERNELS_CPU_WINOGRAD_SIX_H
#define KERNELS_CPU_WINOGRAD_SIX_H

#include "kernels/cpu/winograd_axis.h"

enum {
  SIDE = 4,   /* outputs of a tile along H and W */
  STEP = 4,   /* inputs from one tile to the next */
  SPAN = 6,   /* inputs of a tile */
  BEFORE = 1, /* of them before its outputs */
  AXIS = 6,   /* points */
};

INLINE void axis_in(const Vec in[SPAN], Vec out[AXIS]) {
  for (int i = 0; i < AXIS; i++) out[i] = in[i];
  six_of_inputs(out);
}

INLINE void axis_out(const Vec in[AXIS], Vec out[SIDE]) {
  outputs_of_six(in, out);
}

INLINE void axis_gradient(const Vec in[SIDE], Vec out[AXIS]) {
  six_of_outputs(in[0], in[1], in[2], in[3], out);
}

INLINE void axis_taps(const Vec in[3], Vec out[AXIS]) {
  six_of_taps(in[0], in[1], in[2], out);
}

INLINE void axis_taps_back(const Vec in[AXIS], Vec out[3]) {
  taps_of_six(in, out);
}

#endif
