/* What losses with a soft Dice keep for backward: for each sample and class (or region) sums over
 * its voxels, (N, C, kinds), the first kinds being sum p, sum p t and sum t. Included by NAME.c,
 * with REAL, and NAME.cpu.c. */
#ifndef KERNELS_CPU_DICE_SUMS_H
#define KERNELS_CPU_DICE_SUMS_H

#include "kernels/op.h"

enum { SUM_P, SUM_PT, SUM_T };

/* Sum `kind` of class c: of sample n, or, `batch`, of all. */
static inline double dice_sum(const Tensor *sums, bool batch, int64_t n, int64_t c, int kind) {
  int64_t classes = sums->dim[1], kinds = sums->dim[2];
  double sum = 0;
  for (int64_t i = batch ? 0 : n; i < (batch ? sums->dim[0] : n + 1); i++)
    sum += (double)((const REAL *)sums->data)[(i * classes + c) * kinds + kind];
  return sum;
}

/* (2 sum p t + smooth) / (sum p + sum t + smooth), above and below the line. */
typedef struct DiceRatio {
  double above, below;
} DiceRatio;

static inline DiceRatio dice_ratio(const Tensor *sums, bool batch, double smooth, int64_t n,
                                   int64_t c) {
  return (DiceRatio){2 * dice_sum(sums, batch, n, c, SUM_PT) + smooth,
                     dice_sum(sums, batch, n, c, SUM_P) + dice_sum(sums, batch, n, c, SUM_T) +
                         smooth};
}

/* 1 - the mean ratio of the classes from `first` on (and of the samples, unless batch). */
static inline double dice_loss(const Tensor *sums, bool batch, double smooth, int64_t first) {
  int64_t groups = batch ? 1 : sums->dim[0], classes = sums->dim[1];
  double total = 0;
  for (int64_t n = 0; n < groups; n++)
    for (int64_t c = first; c < classes; c++) {
      DiceRatio ratio = dice_ratio(sums, batch, smooth, n, c);
      total += ratio.above / ratio.below;
    }
  return 1 - total / (double)(groups * (classes - first));
}

#endif
