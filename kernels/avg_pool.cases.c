#include "kernels/op_case.h"

const OpCase avg_pool_cases[] = {
    {.name = "factors 2, 1, 3", .options = "factor=2,1,3", .n_in = 1, .in = {{5, {2, 6, 5, 9, 7}}}},
    {.name = "factors 3, 2, 1",
     .options = "factor=3,2,1",
     .n_in = 1,
     .in = {{5, {3, 3, 4, 5, 17}}}},
    {.name = "one channel, default factors", .n_in = 1, .in = {{5, {1, 4, 2, 6, 1}}}},
    {.name = "to one voxel", .options = "factor=3,5,7", .n_in = 1, .in = {{5, {2, 3, 5, 7, 3}}}},
    {.name = "whole vectors", .options = "factor=2,1,3", .n_in = 1, .in = {{5, {2, 4, 3, 6, 8}}}},
    {.name = "quick s0", .bench = true, .n_in = 1, .in = {{5, {2, 32, 32, 32, 16}}}},
    {.name = "quick s1 to s3",
     .options = "factor=4,4,4",
     .bench = true,
     .n_in = 1,
     .in = {{5, {2, 16, 16, 16, 48}}}},
    {0}};
