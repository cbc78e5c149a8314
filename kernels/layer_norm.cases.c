#include "kernels/op_case.h"

const OpCase layer_norm_cases[] = {
    {.name = "odd sizes", .n_in = 3, .in = {{1, {7}, FILL_POSITIVE}, {1, {7}}, {3, {2, 9, 7}}}},
    {.name = "feature map, large epsilon",
     .options = "epsilon=0.25",
     .n_in = 3,
     .in = {{1, {5}}, {1, {5}}, {5, {2, 3, 1, 4, 5}}}},
    {.name = "wider than a vector", .n_in = 3, .in = {{1, {37}}, {1, {37}}, {2, {11, 37}}}},
    {.name = "whole vectors", .n_in = 3, .in = {{1, {24}}, {1, {24}}, {3, {2, 9, 24}}}},
    {.name = "a row wider than a warp holds",
     .n_in = 3,
     .in = {{1, {1032}}, {1, {1032}}, {2, {3, 1032}}}},
    {.name = "one row", .n_in = 3, .in = {{1, {3}}, {1, {3}}, {2, {1, 3}}}},
    {.name = "quick query tokens",
     .bench = true,
     .n_in = 3,
     .in = {{1, {48}}, {1, {48}}, {3, {2, 576, 48}}}},
    {.name = "256 wide",
     .bench = true,
     .n_in = 3,
     .in = {{1, {256}}, {1, {256}}, {3, {2, 4096, 256}}}},
    {0}};
