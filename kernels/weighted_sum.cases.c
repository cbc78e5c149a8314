#include "kernels/op_case.h"

const OpCase weighted_sum_cases[] = {
    {.name = "three terms",
     .options = "count=3 weight0=2 weight1=-0.5 weight2=5",
     .n_in = 3,
     .in = {{0}, {0}, {0}}},
    {.name = "one term, default weight", .n_in = 1, .in = {{0}}},
    {.name = "sixteen terms", .options = "weight15=3 weight7=0", .n_in = 16, .in = {{0}}},
    {.name = "four stages",
     .options = "count=4 weight0=1 weight1=2 weight2=4 weight3=8",
     .bench = true,
     .n_in = 4,
     .in = {{0}, {0}, {0}, {0}}},
    {0}};
