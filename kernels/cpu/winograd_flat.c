/* Convolutions {1,3,3} by Winograd's filtering over H and W: winograd.c over tiles of one slice. */
#define WINOGRAD_FLAT 1
#include "kernels/cpu/winograd.c"
