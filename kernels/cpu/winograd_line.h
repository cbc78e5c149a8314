/* What Winograd's transforms of tiles read and write: lines of a feature map, points. Included with
 * POINT_BF16 0 or 1: the type of the points that products read; the maps' type is an argument. */
#ifndef KERNELS_CPU_WINOGRAD_LINE_H
#define KERNELS_CPU_WINOGRAD_LINE_H

#include "kernels/cpu/bf16.h"

enum { MOST_LINES = 24 };

/* Where the next voxels of the lines (z, y) of a row of tiles lie, and the step to those after them
 * along x; outside the volume: zeros with step 0. */
typedef struct Lines {
  const char *at[MOST_LINES];
  int64_t step[MOST_LINES]; /* bytes */
} Lines;

#if POINT_BF16
typedef Bf16 Point;
#else
typedef float Point;
#endif

/* How points lie: a vector of channels of one tile; or, for products that run over tiles in pairs,
 * lane by lane those of an even tile and of the odd one after it. */
typedef enum Pairing { SINGLE, EVEN, ODD } Pairing;

INLINE void point_store(Point *to, Vec v, Pairing pairing) {
#if POINT_BF16
  typedef uint32_t Bits __attribute__((vector_size(VEC_BYTES)));
  if (pairing == SINGLE) {
    vec_store_bf16(to, v);
    return;
  }
  Bits bits = (Bits)vec_round_bf16(v), even;
  memcpy(&even, to, sizeof even);
  bits = pairing == EVEN ? bits >> 16 : bits | even; /* an even tile leaves zero beside it */
  memcpy(to, &bits, sizeof bits);
#else
  (void)pairing;
  vec_store(to, v);
#endif
}

/* point_store of an even tile and the odd one after it, together. */
INLINE void point_store_pair(Point *to, Vec even, Vec odd) {
#if POINT_BF16
  IntVec both = vec_pair_bf16(even, odd);
  memcpy(to, &both, sizeof both);
#else
  point_store(to, even, EVEN);
  point_store(to, odd, ODD);
#endif
}

#endif
