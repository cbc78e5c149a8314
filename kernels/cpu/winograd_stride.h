/* Stride 2 along H and W: two outputs of five inputs (winograd_five.h). */
#ifndef KERNELS_CPU_WINOGRAD_STRIDE_H
#define KERNELS_CPU_WINOGRAD_STRIDE_H

#include "kernels/cpu/winograd_five.h"

enum {
  SIDE = 2,   /* outputs of a tile along H and W */
  STEP = 4,   /* inputs from one tile to the next */
  SPAN = 5,   /* inputs of a tile */
  BEFORE = 1, /* of them before the tile's own */
};

INLINE void axis_in(const Vec in[SPAN], Vec out[AXIS]) {
  out[0] = in[0] - in[2], out[1] = in[2], out[2] = in[4] - in[2], out[3] = in[1], out[4] = in[3];
}

INLINE void axis_out(const Vec in[AXIS], Vec out[SIDE]) {
  out[0] = in[0] + in[1] + in[3];
  out[1] = in[1] + in[2] + in[4];
}

INLINE void axis_gradient(const Vec in[SIDE], Vec out[AXIS]) {
  out[0] = in[0], out[1] = in[0] + in[1], out[2] = in[1], out[3] = in[0], out[4] = in[1];
}

#endif
