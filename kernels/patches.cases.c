#include "kernels/op_case.h"

const OpCase patches_cases[] = {
    {.name = "unequal edges", .options = "patch=1,2,3", .n_in = 1, .in = {{5, {2, 3, 4, 6, 5}}}},
    {.name = "whole vectors", .n_in = 1, .in = {{5, {2, 4, 2, 6, 8}}}},
    {.name = "back", .options = "patch=3,1,2 inverse=1", .n_in = 1, .in = {{5, {2, 2, 3, 4, 18}}}},
    {.name = "back, whole vectors",
     .options = "patch=1,2,2 inverse=1",
     .n_in = 1,
     .in = {{5, {2, 1, 3, 5, 32}}}},
    {.name = "2D, one channel", .options = "patch=1,4,4", .n_in = 1, .in = {{5, {2, 1, 8, 12, 1}}}},
    {.name = "embedding", .bench = true, .n_in = 1, .in = {{5, {2, 32, 32, 32, 16}}}},
    {0}};
