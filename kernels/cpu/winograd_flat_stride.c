/* Convolutions {1,3,3} with stride {1,2,2}, over tiles of 2x2 outputs of a slice. */
#define WINOGRAD_AXIS   "kernels/cpu/winograd_stride.h"
#define WINOGRAD_DEEP   "kernels/cpu/winograd_one_slice.h"
#define WINOGRAD_FORM   winograd_flat_stride
#define WINOGRAD_STRIDE 1
#include "kernels/cpu/winograd_slices.h"
