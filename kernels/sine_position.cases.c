#include "kernels/op_case.h"

const OpCase sine_position_cases[] = {
    {.name = "three sizes", .options = "grid=3,4,5 width=12"},
    {.name = "width that 6 does not divide", .options = "grid=2,1,7 width=23"},
    {.name = "temperature", .options = "grid=4,3,2 width=48 temperature=20"},
    {.name = "quick", .options = "grid=8,8,8 width=48", .bench = true},
    {0}};
