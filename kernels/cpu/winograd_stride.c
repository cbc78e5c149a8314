/* Convolutions 3x3x3 with stride 2, over tiles of 2x2x2 outputs. */
#define WINOGRAD_AXIS   "kernels/cpu/winograd_stride.h"
#define WINOGRAD_DEEP   "kernels/cpu/winograd_stride_deep.h"
#define WINOGRAD_FORM   winograd_stride
#define WINOGRAD_STRIDE 1
#include "kernels/cpu/winograd_slices.h"
