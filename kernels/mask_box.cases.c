#include "kernels/op_case.h"

const OpCase mask_box_cases[] = {
    {.name = "uneven", .n_in = 1, .in = {{5, {2, 3, 5, 7, 4}}}},
    {.name = "mostly empty", .n_in = 1, .in = {{5, {3, 2, 2, 1, 11}}}},
    {.name = "soft", .options = "soft=1", .n_in = 1, .in = {{5, {2, 3, 5, 7, 4}}}},
    {.name = "soft, clear masks",
     .options = "soft=1",
     .n_in = 1,
     .in = {{5, {1, 2, 9, 4, 3}, FILL_GRID, 8}}},
    {.name = "soft, many queries", .options = "soft=1", .n_in = 1, .in = {{5, {1, 1, 37, 19, 40}}}},
    {.name = "quick", .bench = true, .n_in = 1, .in = {{5, {2, 8, 40, 40, 16}}}},
    {.name = "quick, soft",
     .options = "soft=1",
     .bench = true,
     .n_in = 1,
     .in = {{5, {2, 8, 40, 40, 16}}}},
    {0}};
