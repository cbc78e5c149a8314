#include "kernels/op_case.h"

const OpCase window_max_cases[] = {
    {.name = "2D, 5 x 5", .n_in = 1, .in = {{5, {2, 1, 7, 6, 5}}}},
    {.name = "whole vectors", .n_in = 1, .in = {{5, {2, 1, 6, 9, 16}}}},
    {.name = "3D, odd axes", .options = "size=3,1,5", .n_in = 1, .in = {{5, {2, 4, 3, 7, 3}}}},
    {.name = "wider than the map",
     .options = "size=5,7,9",
     .n_in = 1,
     .in = {{5, {1, 2, 3, 4, 9}}}},
    {.name = "one voxel", .options = "size=3,3,3", .n_in = 1, .in = {{5, {2, 1, 1, 1, 3}}}},
    {.name = "vectors and a rest",
     .options = "size=1,3,3",
     .n_in = 1,
     .in = {{5, {1, 2, 5, 4, 37}}}},
    {.name = "SPPF of 512 x 512", .bench = true, .n_in = 1, .in = {{5, {4, 1, 16, 16, 128}}}},
    {0}};
