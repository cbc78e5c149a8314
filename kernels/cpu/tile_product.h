/* Products of float matrices on the calling thread, for those that are tall or wide but not large:
 * tiles of a token matrix by weights of tens to hundreds of channels. Sums stay in registers, so
 * bias and ReLU cost nothing. 130-200 GFLOP/s a core of an EPYC 9005 where the operands are in the
 * second-level cache. */
#ifndef KERNELS_CPU_TILE_PRODUCT_H
#define KERNELS_CPU_TILE_PRODUCT_H

#include <stdbool.h>
#include <stdint.h>

/* C (rows, columns) = A (rows, depth) B (depth, columns). Steps in elements; A may lie either way,
 * rows of B and C are contiguous. */
typedef struct Product {
  int64_t rows, columns, depth;
  const float *a;
  int64_t a_row, a_k; /* from one row to the next, from one k to the next */
  const float *b;
  int64_t b_k;
  float *c;
  int64_t c_row;
  const float *start; /* (columns): what the sums of every row start from; NULL: 0 */
  const float *each;  /* (rows): what all sums of a row start from, without `start`; NULL: 0 */
  bool add;           /* to what stands in C; then without `start` and `each` */
  bool relu;          /* of the result */
} Product;

void product(const Product *p);

#endif
