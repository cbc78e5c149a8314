/* Stride 2 along D, or backward of it (WINOGRAD_SPREAD), as along H and W: winograd_stride.h and
 * winograd_spread.h by slices. */
#ifndef KERNELS_CPU_WINOGRAD_STRIDE_DEEP_H
#define KERNELS_CPU_WINOGRAD_STRIDE_DEEP_H

#include "kernels/cpu/winograd_five.h"
#include "kernels/cpu/winograd_slice.h"

enum { SLICES = 5, TAPS_DEEP = 3 };

#if WINOGRAD_SPREAD
enum { DEEP = 4, STEP_DEEP = 2, BEFORE_DEEP = 0 };
static const Slice slices[SLICES] = {
    {DIFFERENCE, 0, 1, ALONE, 1, 0, false}, {ALONE, 1, 0, SUM, 1, 3, false},
    {DIFFERENCE, 2, 1, ALONE, 3, 0, false}, {ALONE, 0, 0, ALONE, 0, 0, false},
    {ALONE, 1, 0, ALONE, 2, 0, false},
};
#else
enum { DEEP = 2, STEP_DEEP = 4, BEFORE_DEEP = 1 };
static const Slice slices[SLICES] = {
    {DIFFERENCE, 0, 2, ALONE, 0, 0, false}, {ALONE, 2, 0, SUM, 0, 1, false},
    {DIFFERENCE, 4, 2, ALONE, 1, 0, false}, {ALONE, 1, 0, ALONE, 0, 0, true},
    {ALONE, 3, 0, ALONE, 1, 0, true},
};
#endif

INLINE void deep_taps(const Vec in[TAPS_DEEP], Vec out[SLICES]) {
  axis_taps(in, out);
}

INLINE void deep_taps_back(const Vec in[SLICES], Vec out[TAPS_DEEP]) {
  axis_taps_back(in, out);
}

#endif
