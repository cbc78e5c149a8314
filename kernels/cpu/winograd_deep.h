/* F(2,3) along D, for winograd_slices.h: two outputs of four inputs in four slices. */
#ifndef KERNELS_CPU_WINOGRAD_DEEP_H
#define KERNELS_CPU_WINOGRAD_DEEP_H

#include "kernels/cpu/winograd_axis.h"
#include "kernels/cpu/winograd_slice.h"

enum { DEEP = 2, STEP_DEEP = 2, BEFORE_DEEP = 1, SLICES = 4, TAPS_DEEP = 3 };

/* The last point has the sign by which it is added. */
static const Slice slices[SLICES] = {
    {DIFFERENCE, 0, 2, ALONE, 0, 0, true},
    {SUM, 1, 2, SUM, 0, 1, false},
    {DIFFERENCE, 2, 1, DIFFERENCE, 0, 1, false},
    {DIFFERENCE, 3, 1, ALONE, 1, 0, true},
};

INLINE void deep_taps(const Vec in[TAPS_DEEP], Vec out[SLICES]) {
  four_of_taps(in[0], in[1], in[2], out);
}

INLINE void deep_taps_back(const Vec in[SLICES], Vec out[TAPS_DEEP]) {
  taps_of_four(in[0], in[1], in[2], in[3], out);
}

#endif
