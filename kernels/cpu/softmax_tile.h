/* Softmax of many short rows: TILE of them at a time are turned, so that a lane is a row and
 * nothing is summed across lanes. A tile is (columns, TILE), lanes beyond the last row hold
 * zeros. */
#ifndef KERNELS_CPU_SOFTMAX_TILE_H
#define KERNELS_CPU_SOFTMAX_TILE_H

#include "kernels/cpu/simd_math.h"

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

enum { TILE = 128 /* rows */ };

/* Between rows that are `columns` apart and the tile; the compiler makes shuffles of it where the
 * number is a constant. */
SIMD_INLINE void tile_turn(float *restrict tile, float *restrict rows, int count, int columns,
                           bool back) {
  for (int c = 0; c < columns; c++)
    for (int v = 0; v < count; v++)
      if (back)
        rows[v * columns + c] = tile[c * TILE + v];
      else
        tile[c * TILE + v] = rows[v * columns + c];
}

SIMD_INLINE void tile_move(float *restrict tile, float *restrict rows, int count, int columns,
                           bool back) {
  if (columns == 2)
    tile_turn(tile, rows, count, 2, back);
  else if (columns == 3)
    tile_turn(tile, rows, count, 3, back);
  else if (columns == 4)
    tile_turn(tile, rows, count, 4, back);
  else
    tile_turn(tile, rows, count, columns, back);
}

/* The first `count` <= TILE rows of x. */
static inline void tile_load(float *tile, const float *x, int count, int columns) {
  if (count < TILE) memset(tile, 0, (size_t)columns * TILE * sizeof *tile);
  tile_move(tile, (float *)(uintptr_t)x, count, columns, false);
}

/* Into rows of y: all columns of the tile, or the first of them. */
static inline void tile_store(float *tile, float *y, int count, int columns) {
  tile_move(tile, y, count, columns, true);
}

/* x becomes e^(x - top), top the largest of a row; `sum` of them. */
static inline void tile_exp(float *restrict tile, int columns, float top[restrict TILE],
                            float sum[restrict TILE]) {
#pragma omp simd
  for (int v = 0; v < TILE; v++) top[v] = tile[v], sum[v] = 0;
  for (int c = 1; c < columns; c++)
#pragma omp simd
    for (int v = 0; v < TILE; v++) {
      float x = tile[c * TILE + v];
      top[v] = x > top[v] ? x : top[v];
    }
  for (int c = 0; c < columns; c++)
#pragma omp simd
    for (int v = 0; v < TILE; v++) {
      float e = simd_exp(tile[c * TILE + v] - top[v]);
      tile[c * TILE + v] = e;
      sum[v] += e;
    }
}

#endif
