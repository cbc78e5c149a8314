#include "kernels/op_case.h"

const OpCase class_loss_cases[] = {
    {.name = "more queries than classes",
     .n_in = 2,
     .in = {{3, {2, 11, 6}}, {2, {2, 11}, FILL_MATCHING, 5}}},
    {.name = "as many queries as classes",
     .options = "none_weight=0.7",
     .n_in = 2,
     .in = {{3, {3, 5, 6}}, {2, {3, 5}, FILL_MATCHING, 5}}},
    {.name = "no object does not count",
     .options = "none_weight=0",
     .n_in = 2,
     .in = {{3, {1, 7, 4}}, {2, {1, 7}, FILL_MATCHING, 3}}},
    {.name = "logits far from zero",
     .n_in = 2,
     .in = {{3, {2, 9, 7}, FILL_GRID, 30}, {2, {2, 9}, FILL_MATCHING, 6}}},
    {.name = "quick",
     .bench = true,
     .n_in = 2,
     .in = {{3, {2, 44, 17}}, {2, {2, 44}, FILL_MATCHING, 16}}},
    {0}};
