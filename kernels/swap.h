/* The axes of op swap's input as five: those before the two, the first, those between, the second,
 * those behind. For swap.c and its fast forms. */
#ifndef KERNELS_SWAP_H
#define KERNELS_SWAP_H

#include "kernels/options.h"

typedef struct SwapSizes {
  int64_t outer, first, middle, second, inner;
} SwapSizes;

static inline SwapSizes swap_sizes(const Call *call, const Tensor *x) {
  const int *axes = ((const SwapOptions *)call->options)->axes.v;
  int low = axes[0] < axes[1] ? axes[0] : axes[1], high = axes[0] < axes[1] ? axes[1] : axes[0];
  SwapSizes s = {1, x->dim[low], 1, x->dim[high], 1};
  for (int a = 0; a < low; a++) s.outer *= x->dim[a];
  for (int a = low + 1; a < high; a++) s.middle *= x->dim[a];
  for (int a = high + 1; a < x->rank; a++) s.inner *= x->dim[a];
  return s;
}

#endif
