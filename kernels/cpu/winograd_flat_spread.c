/* Their gradient of x, over tiles of 4x4. */
#define WINOGRAD_AXIS   "kernels/cpu/winograd_spread.h"
#define WINOGRAD_DEEP   "kernels/cpu/winograd_one_slice.h"
#define WINOGRAD_FORM   winograd_flat_spread
#define WINOGRAD_SPREAD 1
#include "kernels/cpu/winograd_slices.h"
