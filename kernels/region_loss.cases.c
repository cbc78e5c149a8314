#include "kernels/op_case.h"

/* Labels are sets of C regions, or unknown. */
#define REGION_IN(N, D, H, W, C, SPREAD)                                                           \
  {                                                                                                \
    {5, {N, D, H, W, C}, FILL_GRID, SPREAD}, {                                                     \
      4, {N, D, H, W}, FILL_KNOWN, 1 << (C)                                                        \
    }                                                                                              \
  }

const OpCase region_loss_cases[] = {
    {.name = "over the batch", .n_in = 2, .in = REGION_IN(2, 3, 5, 4, 3, 1)},
    {.name = "per sample", .options = "batch=0", .n_in = 2, .in = REGION_IN(3, 2, 3, 7, 5, 1)},
    {.name = "one region",
     .options = "batch=0 smooth=1",
     .n_in = 2,
     .in = REGION_IN(1, 5, 3, 2, 1, 1)},
    {.name = "nothing known",
     .n_in = 2,
     .in = {{5, {2, 3, 2, 4, 3}, FILL_GRID, 1}, {4, {2, 3, 2, 4}, FILL_KNOWN, 0}}},
    {.name = "more voxels than a block", .n_in = 2, .in = REGION_IN(2, 13, 11, 12, 17, 2)},
    {.name = "whole vectors of regions", .n_in = 2, .in = REGION_IN(2, 7, 5, 9, 24, 2)},
    {.name = "thirty regions", .n_in = 2, .in = REGION_IN(2, 2, 3, 5, 30, 1)},
    {.name = "logits far from zero", .n_in = 2, .in = REGION_IN(2, 3, 4, 5, 7, 30)},
    {.name = "BraTS",
     .bench = true,
     .n_in = 2,
     .in = {{5, {2, 40, 48, 40, 3}}, {4, {2, 40, 48, 40}, FILL_LABELS, 8}}},
    {0}};
