#include "kernels/op_case.h"

const OpCase softmax_cases[] = {
    {.name = "class logits, no object dropped",
     .options = "drop=1",
     .n_in = 1,
     .in = {{3, {2, 11, 6}}}},
    {.name = "voxels", .n_in = 1, .in = {{5, {2, 3, 5, 4, 7}}}},
    {.name = "far from zero", .options = "drop=3", .n_in = 1, .in = {{2, {5, 13}, FILL_GRID, 40}}},
    {.name = "more columns than lanes", .n_in = 1, .in = {{2, {5, 67}}}},
    {.name = "one column", .n_in = 1, .in = {{2, {3, 1}}}},
    {.name = "quick", .options = "drop=1", .bench = true, .n_in = 1, .in = {{3, {2, 44, 17}}}},
    {.name = "quick voxels", .bench = true, .n_in = 1, .in = {{5, {2, 32, 32, 32, 16}}}},
    {0}};
