/* Small matrix products of Winograd's points, in registers. Included after a tile's header, which
 * says what a point is. */
#ifndef KERNELS_CPU_WINOGRAD_PRODUCT_H
#define KERNELS_CPU_WINOGRAD_PRODUCT_H

#include "kernels/cpu/winograd_line.h"

enum {
  PANEL = 2 * VEC,                /* columns that a block of a product has */
  ROWS = VEC_BYTES == 64 ? 8 : 6, /* and its rows at most: what fits in registers */
  PAIR = 1 + POINT_BF16,          /* terms of a sum that lie together */
};

/* c (ROWS, cols * VEC) = or += a (ROWS, depth) b (depth, cols * VEC), steps in elements; k: from
 * one PAIR of terms to the next. */
typedef struct Operand {
  int64_t row, k;
} Operand;

#if POINT_BF16
typedef IntVec Right;
INLINE Vec multiply_add(Vec sum, const Point *a, Right b) {
  int32_t pair;
  memcpy(&pair, a, sizeof pair);
  return vec_dot_bf16(sum, pair - (IntVec){0}, b);
}
#else
typedef Vec Right;
INLINE Vec multiply_add(Vec sum, const Point *a, Right b) {
  return sum + *a * b;
}
#endif

INLINE void block(int rows, int cols, const Point *a, Operand step, const Point *b, float *c,
                  int64_t c_row, int64_t depth, bool add) {
  Vec sum[2 * ROWS][2];
  for (int r = 0; r < rows; r++)
    for (int v = 0; v < cols; v++) sum[r][v] = add ? vec_load(c + r * c_row + v * VEC) : (Vec){0};
  for (int64_t k = 0; k < depth; k += PAIR, b += PAIR * cols * VEC, a += step.k) {
    Right right[2];
    for (int v = 0; v < cols; v++) {
      memcpy(&right[v], b + v * PAIR * VEC, sizeof right[v]);
      right[v] = (Right)vec_keep((Vec)right[v]);
    }
    for (int r = 0; r < rows; r++)
      for (int v = 0; v < cols; v++)
        sum[r][v] = multiply_add(sum[r][v], a + r * step.row, right[v]);
  }
  for (int r = 0; r < rows; r++)
    for (int v = 0; v < cols; v++) vec_store(c + r * c_row + v * VEC, sum[r][v]);
}

/* A block with its number of rows as a constant. */
INLINE void block_of(int64_t rows, int cols, const Point *a, Operand step, const Point *b, float *c,
                     int64_t c_row, int64_t depth, bool add) {
#define ROWS_CASE(n)                                                                               \
  case n:                                                                                          \
    if ((n)*cols <= 2 * ROWS) block(n, cols, a, step, b, c, c_row, depth, add);                    \
    break
  switch (rows) {
    ROWS_CASE(1);
    ROWS_CASE(2);
    ROWS_CASE(3);
    ROWS_CASE(4);
    ROWS_CASE(5);
    ROWS_CASE(6);
    ROWS_CASE(7);
    ROWS_CASE(8);
    ROWS_CASE(9);
    ROWS_CASE(10);
    ROWS_CASE(11);
    ROWS_CASE(12);
    ROWS_CASE(13);
    ROWS_CASE(14);
    ROWS_CASE(15);
    ROWS_CASE(16);
  }
#undef ROWS_CASE
}

/* One panel of columns for all rows, in blocks of about as many. */
static void panel(int64_t width, const Point *a, Operand step, int64_t rows, const Point *b,
                  float *c, int64_t c_row, int64_t depth, bool add) {
  int64_t most = width == PANEL ? ROWS : 2 * ROWS;
  for (int64_t parts = (rows + most - 1) / most; parts > 0; parts--) {
    int64_t here = rows / parts;
    if (width == PANEL)
      block_of(here, 2, a, step, b, c, c_row, depth, add);
    else
      block_of(here, 1, a, step, b, c, c_row, depth, add);
    a += here * step.row;
    c += here * c_row;
    rows -= here;
  }
}

#endif
