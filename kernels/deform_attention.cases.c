#include "kernels/op_case.h"

/* Offsets and logits for T tokens and POINTS = heads * levels * points. */
#define QUERIES(N, T, POINTS, SPREAD)                                                              \
  {3, {N, T, 3 * (POINTS)}, FILL_GRID, SPREAD}, {                                                  \
    3, {                                                                                           \
      N, T, POINTS                                                                                 \
    }                                                                                              \
  }
#define VALUES(N, D, H, W, E)                                                                      \
  {                                                                                                \
    5, {                                                                                           \
      N, D, H, W, E                                                                                \
    }                                                                                              \
  }

const OpCase deform_attention_cases[] = {
    {.name = "one level, one grid",
     .options = "heads=2 points=3 query_grids=2,3,5",
     .n_in = 3,
     .in = {QUERIES(2, 30, 6, 1), VALUES(2, 3, 4, 5, 16)}},
    {.name = "three levels, two grids",
     .options = "heads=3 points=2 query_grids=3,2,1,1,2,3",
     .n_in = 5,
     .in = {QUERIES(2, 12, 18, 1), VALUES(2, 5, 3, 7, 24), VALUES(2, 3, 2, 4, 24),
            VALUES(2, 1, 2, 3, 24)}},
    {.name = "offsets that leave the volume",
     .options = "heads=2 points=5 query_grids=2,1,3",
     .n_in = 4,
     .in = {QUERIES(3, 6, 20, 20), VALUES(3, 7, 5, 6, 32), VALUES(3, 2, 3, 4, 32)}},
    {.name = "5 channels a head",
     .options = "heads=3 points=1 query_grids=1,3,2",
     .n_in = 4,
     .in = {QUERIES(1, 6, 6, 2), VALUES(1, 4, 3, 2, 15), VALUES(1, 2, 5, 3, 15)}},
    {.name = "32 channels a head",
     .options = "heads=2 points=4 query_grids=2,2,3",
     .n_in = 3,
     .in = {QUERIES(1, 12, 8, 1.5), VALUES(1, 4, 6, 5, 64)}},
    {.name = "24 channels a head, few samples of a large level",
     .options = "heads=2 points=4 query_grids=1,2,1",
     .n_in = 4,
     .in = {QUERIES(2, 2, 16, 2), VALUES(2, 9, 7, 8, 48), VALUES(2, 2, 3, 2, 48)}},
    {.name = "4 channels a head",
     .options = "heads=4 points=3 query_grids=2,3,1",
     .n_in = 3,
     .in = {QUERIES(2, 6, 12, 1), VALUES(2, 3, 2, 5, 16)}},
    {.name = "more points than a vector",
     .options = "heads=1 points=11 query_grids=3,1,2",
     .n_in = 4,
     .in = {QUERIES(2, 6, 22, 1), VALUES(2, 3, 4, 5, 8), VALUES(2, 2, 1, 3, 8)}},
    {.name = "bits that repeat",
     .options = "heads=2 points=3 query_grids=3,5,9,1,2,3 deterministic=1",
     .n_in = 4,
     .in = {QUERIES(2, 141, 12, 2), VALUES(2, 3, 6, 7, 48), VALUES(2, 2, 3, 3, 48)}},
    {.name = "68 channels a head",
     .options = "heads=1 points=2 query_grids=2,3,3",
     .n_in = 4,
     .in = {QUERIES(1, 18, 4, 1), VALUES(1, 3, 2, 4, 68), VALUES(1, 1, 2, 2, 68)}},
    {.name = "quick bridge, width 48",
     .options = "heads=6 points=4 query_grids=8,8,8,4,4,4",
     .bench = true,
     .n_in = 6,
     .in = {QUERIES(2, 576, 96, 2), VALUES(2, 32, 32, 32, 48), VALUES(2, 16, 16, 16, 48),
            VALUES(2, 8, 8, 8, 48), VALUES(2, 4, 4, 4, 48)}},
    {.name = "two coarse levels, width 128",
     .options = "heads=8 points=4 query_grids=8,8,8,4,4,4",
     .bench = true,
     .n_in = 4,
     .in = {QUERIES(2, 576, 64, 2), VALUES(2, 8, 8, 8, 128), VALUES(2, 4, 4, 4, 128)}},
    {.name = "all levels as queries, width 64",
     .options = "heads=8 points=4 query_grids=16,16,16,8,8,8,4,4,4",
     .bench = true,
     .n_in = 5,
     .in = {QUERIES(1, 4672, 96, 2), VALUES(1, 16, 16, 16, 64), VALUES(1, 8, 8, 8, 64),
            VALUES(1, 4, 4, 4, 64)}},
    {0}};
