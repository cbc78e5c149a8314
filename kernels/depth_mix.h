/* The sizes of op depth_mix, for depth_mix.c and its fast forms: x is (samples, ins, rest), y
 * (samples, outs, rest). */
#ifndef KERNELS_DEPTH_MIX_H
#define KERNELS_DEPTH_MIX_H

#include "kernels/op.h"

enum { DEPTH_W, DEPTH_B, DEPTH_X }; /* the inputs */

typedef struct DepthSizes {
  int64_t samples, ins, outs, rest;
} DepthSizes;

static inline DepthSizes depth_sizes(const Call *call) {
  const Tensor *w = &call->in[DEPTH_W], *x = &call->in[DEPTH_X];
  DepthSizes s = {x->dim[0], w->dim[1], w->dim[0], 1};
  for (int a = 2; a < x->rank; a++) s.rest *= x->dim[a];
  return s;
}

#endif
