#include "kernels/op_case.h"

const OpCase concat_cases[] = {
    {.name = "a grid and tokens", .n_in = 2, .in = {{5, {2, 3, 5, 4, 7}}, {3, {2, 11, 7}}}},
    {.name = "three grids",
     .n_in = 3,
     .in = {{5, {3, 2, 3, 5, 4}}, {5, {3, 1, 2, 3, 4}}, {4, {3, 2, 1, 4}}}},
    {.name = "one input", .n_in = 1, .in = {{4, {2, 3, 5, 7}}}},
    {.name = "quick",
     .bench = true,
     .n_in = 2,
     .in = {{5, {2, 8, 8, 8, 48}}, {5, {2, 4, 4, 4, 48}}}},
    {0}};
