#include "kernels/op_case.h"

const OpCase slice_cases[] = {
    {.name = "as a grid",
     .options = "start=5 length=30 grid=2,3,5",
     .n_in = 1,
     .in = {{3, {2, 41, 7}}}},
    {.name = "as tokens", .options = "start=3 length=4", .n_in = 1, .in = {{3, {3, 11, 5}}}},
    {.name = "from a grid, to the end",
     .options = "start=50 length=10",
     .n_in = 1,
     .in = {{5, {2, 3, 5, 4, 3}}}},
    {.name = "everything",
     .options = "start=0 length=6 grid=1,2,3",
     .n_in = 1,
     .in = {{3, {2, 6, 4}}}},
    {.name = "quick",
     .options = "start=0 length=512 grid=8,8,8",
     .bench = true,
     .n_in = 1,
     .in = {{3, {2, 576, 48}}}},
    {0}};
