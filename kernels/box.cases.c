#include "kernels/op_case.h"

const OpCase box_cases[] = {
    {.name = "alone", .n_in = 1, .in = {{5, {2, 3, 2, 2, 5}}}},
    {.name = "left out", .n_in = 2, .in = {{5, {2, 3, 2, 2, 5}}, {1, {0}}}},
    {.name = "mean with masks'", .n_in = 2, .in = {{5, {2, 3, 2, 2, 5}}, {3, {10, 3, 4}}}},
    {.name = "another weight",
     .options = "weight=.2",
     .n_in = 2,
     .in = {{5, {1, 9, 2, 2, 7}}, {3, {7, 9, 4}}}},
    {.name = "quick", .bench = true, .n_in = 2, .in = {{5, {2, 8, 2, 2, 16}}, {3, {32, 8, 4}}}},
    {0}};
