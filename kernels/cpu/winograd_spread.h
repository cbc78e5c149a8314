/* Backward of stride 2 along H and W, with the taps turned around: four numbers of x of three
 * gradients (winograd_five.h). */
#ifndef KERNELS_CPU_WINOGRAD_SPREAD_H
#define KERNELS_CPU_WINOGRAD_SPREAD_H

#include "kernels/cpu/winograd_five.h"

enum {
  SIDE = 4,   /* numbers of a tile along H and W */
  STEP = 2,   /* gradients from one tile to the next */
  SPAN = 3,   /* gradients of a tile */
  BEFORE = 0, /* of them before the tile's own */
};

INLINE void axis_in(const Vec in[SPAN], Vec out[AXIS]) {
  out[0] = in[0] - in[1], out[1] = in[1], out[2] = in[2] - in[1], out[3] = in[0], out[4] = in[1];
}

INLINE void axis_out(const Vec in[AXIS], Vec out[SIDE]) {
  out[0] = in[3], out[1] = in[0] + in[1], out[2] = in[4], out[3] = in[1] + in[2];
}

#endif
