#include "kernels/op_case.h"

const OpCase place_cases[] = {
    {.name = "a plane in front of each axis",
     .options = "size=4,6,5 before=1,1,1",
     .n_in = 1,
     .in = {{5, {2, 3, 5, 4, 7}}}},
    {.name = "voxels apart, whole vectors",
     .options = "size=5,7,9 before=0,1,2 stride=2,3,1",
     .n_in = 1,
     .in = {{5, {2, 3, 2, 5, 8}}}},
    {.name = "apart along W",
     .options = "size=1,6,9 stride=1,2,3",
     .n_in = 1,
     .in = {{5, {3, 1, 2, 3, 3}}}},
    {.name = "the same", .options = "size=3,5,4", .n_in = 1, .in = {{5, {1, 3, 5, 4, 1}}}},
    {.name = "plane in front",
     .options = "size=32,32,32 before=1,1,1",
     .bench = true,
     .n_in = 1,
     .in = {{5, {2, 31, 31, 31, 32}}}},
    {0}};
