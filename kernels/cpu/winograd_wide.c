/* Convolutions 3x3x3 of maps of many tiles: winograd.c over tiles of 2x4x4. */
#define WINOGRAD_TILE "kernels/cpu/winograd_wide_tile.h"
#define WINOGRAD_FORM winograd_wide
#include "kernels/cpu/winograd.c"
