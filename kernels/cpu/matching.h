/* The part of op match that does not depend on how voxels are summed: from sums over one sample's
 * voxels to the class of each query. Shared by the reference and the fast kernel. */
#ifndef KERNELS_CPU_MATCHING_H
#define KERNELS_CPU_MATCHING_H

#include "kernels/options.h"

/* One sample's sums and work space, carved out of one block. With x the mask logits, p = sigmoid(x)
 * and K queries; the first six arrays stand one after another, matching_sums() doubles: */
typedef struct Matching {
  int queries, classes;
  double *softplus;    /* (K): sum of log(1 + e^x) over the known voxels */
  double *p;           /* (K): sum of p */
  double *label_x;     /* (classes, K): sum of x where the label is, or holds, the class */
  double *label_p;     /* (classes, K): sum of p there */
  double *count;       /* (classes): voxels of the class */
  double *known;       /* (1): voxels whose label is not negative */
  double *probability; /* (K, classes): softmax of the class logits */
  double *cost;        /* (present classes, K) */
  int *class_of_row;   /* (classes) */
  int *row_of_query;   /* (K) */
  void *search;
} Matching;

size_t matching_sums(int queries, int classes);
size_t matching_bytes(int queries, int classes);
/* `block`: matching_bytes, 8-byte aligned. The sums start at zero. */
Matching matching_make(void *block, int queries, int classes);
/* Writes the class of each query, -1 for none. A cost that is not finite counts as 1e6. */
void matching_solve(const Matching *matching, const MatchOptions *options, int32_t *assignment);

#endif
