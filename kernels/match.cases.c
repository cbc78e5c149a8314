#include "kernels/op_case.h"

#define MATCH_IN(N, D, H, W, K, CLASSES, LABELS)                                                   \
  {                                                                                                \
    {3, {N, K, (CLASSES) + 1}}, {5, {N, D, H, W, K}}, {                                            \
      4, {N, D, H, W}, FILL_LABELS, LABELS                                                         \
    }                                                                                              \
  }

const OpCase match_cases[] = {
    {.name = "more queries than classes", .n_in = 3, .in = MATCH_IN(2, 3, 5, 4, 11, 6, 6)},
    {.name = "as many queries as classes", .n_in = 3, .in = MATCH_IN(3, 2, 3, 7, 5, 5, 5)},
    {.name = "some classes absent", .n_in = 3, .in = MATCH_IN(2, 5, 3, 4, 17, 13, 4)},
    {.name = "labels beyond the classes", .n_in = 3, .in = MATCH_IN(1, 4, 3, 5, 7, 3, 6)},
    {.name = "some voxels unknown",
     .n_in = 3,
     .in = {{3, {2, 9, 7}}, {5, {2, 4, 7, 5, 9}}, {4, {2, 4, 7, 5}, FILL_KNOWN, 6}}},
    {.name = "nothing known",
     .n_in = 3,
     .in = {{3, {1, 5, 4}}, {5, {1, 3, 2, 4, 5}}, {4, {1, 3, 2, 4}, FILL_KNOWN, 0}}},
    {.name = "regions, some voxels unknown",
     .options = "regions=1",
     .n_in = 3,
     .in = {{3, {2, 8, 6}}, {5, {2, 4, 7, 5, 8}}, {4, {2, 4, 7, 5}, FILL_KNOWN, 32}}},
    {.name = "fixed", .options = "fixed=1", .n_in = 3, .in = MATCH_IN(2, 1, 2, 3, 9, 8, 8)},
    {.name = "class alone",
     .options = "bce_weight=0 dice_weight=0",
     .n_in = 3,
     .in = MATCH_IN(2, 3, 2, 5, 12, 7, 7)},
    {.name = "Dice alone",
     .options = "class_weight=0 bce_weight=0",
     .n_in = 3,
     .in = MATCH_IN(1, 3, 7, 5, 40, 9, 9)},
    {.name = "64 queries and classes", .n_in = 3, .in = MATCH_IN(2, 5, 9, 7, 64, 64, 64)},
    {.name = "many queries", .n_in = 3, .in = MATCH_IN(1, 3, 4, 5, 301, 29, 29)},
    {.name = "quick, 16 queries",
     .bench = true,
     .n_in = 3,
     .in = MATCH_IN(2, 32, 32, 32, 16, 16, 16)},
    {.name = "quick, 44 queries",
     .bench = true,
     .n_in = 3,
     .in = MATCH_IN(2, 32, 32, 32, 44, 16, 16)},
    {0}};
