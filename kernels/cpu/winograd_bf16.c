/* Winograd's convolution with the points that products read in bf16: half the bytes, twice the
 * multiplications a second; the transforms and all sums are in float. */
#define POINT_BF16    1
#define WINOGRAD_FORM winograd_bf16
#include "kernels/cpu/winograd.c"
