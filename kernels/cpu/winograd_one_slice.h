/* Tiles of one slice of a map: nothing is done along D. */
#ifndef KERNELS_CPU_WINOGRAD_ONE_SLICE_H
#define KERNELS_CPU_WINOGRAD_ONE_SLICE_H

#include "kernels/cpu/simd.h"
#include "kernels/cpu/winograd_slice.h"

enum { DEEP = 1, STEP_DEEP = 1, BEFORE_DEEP = 0, SLICES = 1, TAPS_DEEP = 1 };

static const Slice slices[SLICES] = {{ALONE, 0, 0, ALONE, 0, 0, true}};

INLINE void deep_taps(const Vec in[TAPS_DEEP], Vec out[SLICES]) {
  out[0] = in[0];
}

INLINE void deep_taps_back(const Vec in[SLICES], Vec out[TAPS_DEEP]) {
  out[0] = in[0];
}

#endif
