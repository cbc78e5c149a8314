#include "kernels/op_case.h"

const OpCase add_cases[] = {
    {.name = "same shape", .n_in = 2, .in = {{5, {2, 3, 5, 4, 7}}, {5, {2, 3, 5, 4, 7}}}},
    {.name = "over the batch", .n_in = 2, .in = {{5, {3, 2, 3, 5, 7}}, {2, {30, 7}}}},
    {.name = "bias", .n_in = 2, .in = {{3, {2, 11, 13}}, {1, {13}}}},
    {.name = "bias of many rows", .n_in = 2, .in = {{3, {2, 41, 13}}, {1, {13}}}},
    {.name = "bias of many rows, whole vectors", .n_in = 2, .in = {{3, {2, 37, 16}}, {1, {16}}}},
    {.name = "quick residual",
     .bench = true,
     .n_in = 2,
     .in = {{5, {2, 32, 32, 32, 32}}, {5, {2, 32, 32, 32, 32}}}},
    {.name = "quick position", .bench = true, .n_in = 2, .in = {{3, {2, 576, 48}}, {2, {576, 48}}}},
    {.name = "quick bias", .bench = true, .n_in = 2, .in = {{5, {2, 32, 32, 32, 48}}, {1, {48}}}},
    {0}};
