/* The part of op match that does not depend on how voxels are summed: from sums over one sample's
 * voxels to the class of each query. Shared by the reference and the fast kernel. */
#ifndef KERNELS_CPU_MATCHING_H
#define KERNELS_CPU_MATCHING_H

#include "kernels/options.h"

enum { MATCH_IN_CLASS, MATCH_IN_MASK, MATCH_IN_LABELS, MATCH_IN_AUX, MATCH_IN_BOXES };

typedef struct MatchSizes {
  int queries, classes, group;
  int kinds; /* of masks: 1, or 2 with auxiliary ones */
  bool boxes, regions;
  int depth, height, width; /* of a sample's labels */
} MatchSizes;

MatchSizes match_sizes(const Call *call);

/* Of one sample's masks of one kind, with x their logits, p = sigmoid(x) and K queries. The arrays
 * stand one after another, matching_sums() doubles. */
typedef struct MatchSums {
  double *softplus; /* (K): sum of log(1 + e^x) over the known voxels */
  double *p;        /* (K): sum of p */
  double *label_x;  /* (classes, K): sum of x where the label is, or holds, the class */
  double *label_p;  /* (classes, K): sum of p there */
  double *count;    /* (classes): voxels of the class */
  double *known;    /* (1): voxels whose label is not negative */
} MatchSums;

/* A group's costs and work space, carved out of one block. */
typedef struct Matching {
  MatchSizes sizes;
  MatchSums sums[2];   /* of the sample: masks, auxiliary masks */
  double *probability; /* (K, classes): softmax of the sample's class logits */
  double *box;         /* (K, 4): the sample's */
  double *cost;        /* (classes, K), summed over the group's samples that have the class */
  int32_t *bounds;     /* (classes, 4): of the sample's labels */
  int *present;        /* (group, classes) */
  int *class_of_row;   /* (classes) */
  int *row_of_query;   /* (K) */
  void *search;
} Matching;

size_t matching_sums(int queries, int classes);
MatchSums match_sums_at(double *block, int queries, int classes);
size_t matching_bytes(const MatchSizes *sizes);
/* `block`: matching_bytes, 8-byte aligned. Costs and the first sample's sums start at zero. */
Matching matching_make(void *block, const MatchSizes *sizes);
/* The sums start at zero: another sample. */
void matching_clear(const Matching *matching);
/* Sample `item` of the group: its sums, probabilities and boxes stand there; labels: its own. A
 * cost that is not finite counts as 1e6. */
void matching_add(const Matching *matching, const MatchOptions *options, int item,
                  const int32_t *labels);
/* Writes the class of each query in each of the group's samples (group, K), -1 for none. */
void matching_solve(const Matching *matching, const MatchOptions *options, int32_t *assignment);

#endif
