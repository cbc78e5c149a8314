/* Convolutions {1,3,3}, over tiles of 4x4 outputs of a slice. */
#define WINOGRAD_AXIS "kernels/cpu/winograd_six.h"
#define WINOGRAD_DEEP "kernels/cpu/winograd_one_slice.h"
#define WINOGRAD_FORM winograd_flat
#include "kernels/cpu/winograd_slices.h"
