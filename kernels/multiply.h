/* How op multiply repeats b: as a block (outer, 1, inner) under a, a block (outer, repeats, inner).
 * For multiply.c and its fast forms. */
#ifndef KERNELS_MULTIPLY_H
#define KERNELS_MULTIPLY_H

#include "kernels/options.h"

typedef struct MultiplySizes {
  int64_t outer, repeats, inner;
} MultiplySizes;

/* b covers the last axes of a, as many elements as they have (op add's rule). */
static inline bool multiply_covers(const Tensor *a, const Tensor *b, MultiplySizes *s) {
  int64_t count = 1, wanted = tensor_count(b);
  for (int i = a->rank - 1; i >= 0 && count < wanted; i--) count *= a->dim[i];
  if (count != wanted || (b->rank > 0 && tensor_last(a) != tensor_last(b))) return false;
  *s = (MultiplySizes){1, tensor_count(a) / count, count};
  return true;
}

/* b's axes, the last under the last of a, are those of a or 1; the ones that it lacks stand side by
 * side. */
static inline bool multiply_sizes(const Tensor *a, const Tensor *b, MultiplySizes *s) {
  if (multiply_covers(a, b, s)) return true;
  *s = (MultiplySizes){1, 1, 1};
  for (int i = a->rank - 1, k = b->rank - 1; i >= 0; i--, k--) {
    int64_t size = k >= 0 ? b->dim[k] : 1;
    if (size != 1 && size != a->dim[i]) return false;
    bool repeated = size == 1 && a->dim[i] > 1;
    if (repeated && s->outer > 1) return false;
    if (repeated)
      s->repeats *= a->dim[i];
    else if (s->repeats > 1)
      s->outer *= size;
    else
      s->inner *= size;
  }
  return b->rank <= a->rank;
}

#endif
