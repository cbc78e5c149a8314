/* Convolutions {1,3,3} by Winograd's filtering over H and W: winograd.c over tiles of one slice. */
#define WINOGRAD_TILE "kernels/cpu/winograd_flat_tile.h"
#define WINOGRAD_FORM winograd_flat
#include "kernels/cpu/winograd.c"
