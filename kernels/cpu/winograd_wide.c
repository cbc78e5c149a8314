/* Convolutions 3x3x3 of maps of many tiles, those of 2x4x4 outputs. */
#define WINOGRAD_AXIS "kernels/cpu/winograd_six.h"
#define WINOGRAD_DEEP "kernels/cpu/winograd_deep.h"
#define WINOGRAD_FORM winograd_wide
#include "kernels/cpu/winograd_slices.h"
