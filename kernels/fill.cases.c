#include "kernels/op_case.h"

const OpCase fill_cases[] = {
    {.name = "ones", .options = "shape=48 value=1"},
    {.name = "a map", .options = "shape=2,3,5,4,7 value=-.25"},
    {.name = "map", .options = "shape=2,32,32,32,32 value=2", .bench = true},
    {0}};
