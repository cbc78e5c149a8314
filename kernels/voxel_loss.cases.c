#include "kernels/op_case.h"

#define VOXEL_IN(N, D, H, W, C, LABELS, SPREAD)                                                    \
  {                                                                                                \
    {5, {N, D, H, W, C}, FILL_GRID, SPREAD}, {                                                     \
      4, {N, D, H, W}, FILL_LABELS, LABELS                                                         \
    }                                                                                              \
  }

const OpCase voxel_loss_cases[] = {
    {.name = "over the batch", .n_in = 2, .in = VOXEL_IN(2, 3, 5, 4, 6, 6, 1)},
    {.name = "per sample", .options = "batch=0", .n_in = 2, .in = VOXEL_IN(3, 2, 3, 7, 5, 5, 1)},
    {.name = "two classes",
     .options = "batch=0 smooth=1",
     .n_in = 2,
     .in = VOXEL_IN(1, 5, 3, 2, 2, 2, 1)},
    {.name = "labels beyond the classes", .n_in = 2, .in = VOXEL_IN(2, 4, 3, 5, 4, 7, 1)},
    {.name = "some voxels unknown",
     .n_in = 2,
     .in = {{5, {2, 4, 3, 5, 4}}, {4, {2, 4, 3, 5}, FILL_KNOWN, 4}}},
    {.name = "nothing known, per sample",
     .options = "batch=0",
     .n_in = 2,
     .in = {{5, {2, 3, 2, 4, 3}}, {4, {2, 3, 2, 4}, FILL_KNOWN, 0}}},
    {.name = "more voxels than a block", .n_in = 2, .in = VOXEL_IN(2, 13, 11, 12, 17, 15, 2)},
    {.name = "more classes than lanes", .n_in = 2, .in = VOXEL_IN(2, 1, 2, 3, 150, 150, 1)},
    {.name = "13 classes", .n_in = 2, .in = VOXEL_IN(2, 3, 4, 5, 13, 13, 1)},
    {.name = "23 classes", .n_in = 2, .in = VOXEL_IN(2, 2, 3, 5, 23, 23, 1)},
    {.name = "logits far from zero", .n_in = 2, .in = VOXEL_IN(2, 3, 4, 5, 7, 7, 30)},
    {.name = "quick", .bench = true, .n_in = 2, .in = VOXEL_IN(2, 32, 32, 32, 16, 16, 1)},
    {.name = "three classes", .bench = true, .n_in = 2, .in = VOXEL_IN(2, 40, 56, 40, 3, 3, 1)},
    {.name = "quick s1, per sample",
     .options = "batch=0",
     .bench = true,
     .n_in = 2,
     .in = VOXEL_IN(2, 16, 16, 16, 16, 16, 1)},
    {0}};
