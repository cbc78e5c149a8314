#include "kernels/op_case.h"

const OpCase expand_cases[] = {
    {.name = "queries", .options = "count=3", .n_in = 1, .in = {{2, {11, 5}}}},
    {.name = "one sample", .options = "count=1", .n_in = 1, .in = {{2, {7, 3}}}},
    {.name = "four axes", .options = "count=2", .n_in = 1, .in = {{4, {3, 2, 5, 7}}}},
    {.name = "scalar", .options = "count=4", .n_in = 1, .in = {{0}}},
    {.name = "quick", .options = "count=2", .bench = true, .n_in = 1, .in = {{2, {44, 48}}}},
    {0}};
