#include "kernels/op_case.h"

#define MASK_IN(N, D, H, W, K, CLASSES, SPREAD)                                                    \
  {                                                                                                \
    {5, {N, D, H, W, K}, FILL_GRID, SPREAD}, {4, {N, D, H, W}, FILL_LABELS, CLASSES}, {            \
      2, {N, K}, FILL_MATCHING, CLASSES                                                            \
    }                                                                                              \
  }

const OpCase mask_loss_cases[] = {
    {.name = "some queries unmatched", .n_in = 3, .in = MASK_IN(2, 3, 5, 4, 11, 6, 1)},
    {.name = "as many queries as classes", .n_in = 3, .in = MASK_IN(3, 2, 3, 7, 5, 5, 1)},
    {.name = "one query", .n_in = 3, .in = MASK_IN(1, 5, 3, 2, 1, 1, 1)},
    {.name = "more voxels than a block", .n_in = 3, .in = MASK_IN(2, 13, 11, 12, 17, 7, 2)},
    {.name = "whole vectors of queries", .n_in = 3, .in = MASK_IN(2, 7, 5, 9, 24, 9, 2)},
    {.name = "some voxels unknown",
     .n_in = 3,
     .in = {{5, {2, 4, 7, 5, 9}}, {4, {2, 4, 7, 5}, FILL_KNOWN, 6}, {2, {2, 9}, FILL_MATCHING, 6}}},
    {.name = "nothing known",
     .n_in = 3,
     .in = {{5, {1, 3, 2, 4, 5}}, {4, {1, 3, 2, 4}, FILL_KNOWN, 0}, {2, {1, 5}, FILL_MATCHING, 4}}},
    {.name = "regions, some voxels unknown",
     .options = "regions=1",
     .n_in = 3,
     .in = {{5, {2, 4, 7, 5, 8}},
            {4, {2, 4, 7, 5}, FILL_KNOWN, 16},
            {2, {2, 8}, FILL_MATCHING, 4}}},
    {.name = "logits far from zero", .n_in = 3, .in = MASK_IN(2, 3, 4, 5, 7, 4, 30)},
    {.name = "quick, 11 queries",
     .bench = true,
     .n_in = 3,
     .in = MASK_IN(2, 32, 32, 32, 11, 11, 1)},
    {.name = "quick, 44 queries",
     .bench = true,
     .n_in = 3,
     .in = MASK_IN(2, 32, 32, 32, 44, 16, 1)},
    {0}};
