/* A slice of a tile's points, those of one point along D, for winograd_slices.h. Along D a point is
 * an input plane or the sum or difference of two, and goes to one output plane or to two. */
#ifndef KERNELS_CPU_WINOGRAD_SLICE_H
#define KERNELS_CPU_WINOGRAD_SLICE_H

#include <stdbool.h>

typedef enum Mix { ALONE, SUM, DIFFERENCE } Mix;

typedef struct Slice {
  Mix in; /* near, near + far, near - far */
  int near, far;
  Mix out; /* added to here alone; to both; to here, and taken from there */
  int here, there;
  bool plain; /* these slices' gradients together are all of a tile's, each once */
} Slice;

#endif
