#include "kernels/op_case.h"

const OpCase channel_pool_cases[] = {
    {.name = "a map", .n_in = 1, .in = {{5, {2, 1, 5, 3, 7}}}},
    {.name = "whole vectors", .n_in = 1, .in = {{5, {2, 2, 3, 5, 64}}}},
    {.name = "vectors and a rest", .n_in = 1, .in = {{3, {2, 9, 45}}}},
    {.name = "one channel", .n_in = 1, .in = {{4, {2, 3, 2, 1}}}},
    {.name = "a row", .n_in = 1, .in = {{2, {1, 300}}}},
    {.name = "64 x 64 of 512 x 512", .bench = true, .n_in = 1, .in = {{5, {4, 1, 64, 64, 64}}}},
    {0}};
