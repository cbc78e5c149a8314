#include "kernels/op_case.h"

#define BOX_IN(N, D, H, W, K, CLASSES)                                                             \
  {                                                                                                \
    {3, {N, K, 4}, FILL_BOXES}, {4, {N, D, H, W}, FILL_LABELS, CLASSES}, {                         \
      2, {N, K}, FILL_MATCHING, CLASSES                                                            \
    }                                                                                              \
  }

const OpCase box_loss_cases[] = {
    {.name = "some queries unmatched", .n_in = 3, .in = BOX_IN(2, 1, 5, 7, 11, 6)},
    {.name = "over several slices", .n_in = 3, .in = BOX_IN(3, 2, 4, 3, 5, 5)},
    {.name = "classes absent", .n_in = 3, .in = BOX_IN(2, 1, 2, 3, 40, 40)},
    {.name = "some voxels unknown",
     .n_in = 3,
     .in = {{3, {2, 9, 4}, FILL_BOXES},
            {4, {2, 1, 7, 5}, FILL_KNOWN, 6},
            {2, {2, 9}, FILL_MATCHING, 6}}},
    {.name = "regions",
     .options = "regions=1",
     .n_in = 3,
     .in = {{3, {2, 8, 4}, FILL_BOXES},
            {4, {2, 1, 3, 5}, FILL_KNOWN, 16},
            {2, {2, 8}, FILL_MATCHING, 4}}},
    {.name = "quick", .bench = true, .n_in = 3, .in = BOX_IN(16, 1, 40, 40, 16, 13)},
    {0}};
