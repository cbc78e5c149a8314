#include "kernels/op_case.h"

const OpCase expand_cases[] = {
    {.name = "queries", .options = "count=3", .n_in = 1, .in = {{2, {11, 5}}}},
    {.name = "one sample", .options = "count=1", .n_in = 1, .in = {{2, {7, 3}}}},
    {.name = "four axes", .options = "count=2", .n_in = 1, .in = {{4, {3, 2, 5, 7}}}},
    {.name = "every sample by itself",
     .options = "count=3 inner=1",
     .n_in = 1,
     .in = {{3, {2, 5, 7}}}},
    {.name = "every sample by itself, five axes",
     .options = "count=4 inner=1",
     .n_in = 1,
     .in = {{5, {2, 3, 2, 5, 16}}}},
    {.name = "scalar", .options = "count=4", .n_in = 1, .in = {{0}}},
    {.name = "quick", .options = "count=2", .bench = true, .n_in = 1, .in = {{2, {44, 48}}}},
    {.name = "an image for 16 queries",
     .options = "count=16 inner=1",
     .bench = true,
     .n_in = 1,
     .in = {{5, {2, 8, 10, 10, 64}}}},
    {0}};
