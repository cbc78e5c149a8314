#include "kernels/op_case.h"

const OpCase reshape_cases[] = {
    {.name = "a map as tokens", .options = "shape=2,0,7", .n_in = 1, .in = {{5, {2, 3, 5, 4, 7}}}},
    {.name = "tokens as a map", .options = "shape=2,3,5,4,7", .n_in = 1, .in = {{3, {2, 60, 7}}}},
    {.name = "slices as a batch",
     .options = "shape=0,1,5,4,3",
     .n_in = 1,
     .in = {{5, {2, 3, 5, 4, 3}}}},
    {.name = "labels of slices as a batch",
     .options = "shape=0,1,5,4",
     .n_in = 1,
     .in = {{4, {2, 3, 5, 4}, FILL_LABELS, 7}}},
    {.name = "one axis", .options = "shape=0", .n_in = 1, .in = {{3, {2, 3, 5}}}},
    {.name = "quick",
     .options = "shape=2,0,32",
     .bench = true,
     .n_in = 1,
     .in = {{5, {2, 32, 32, 32, 32}}}},
    {0}};
