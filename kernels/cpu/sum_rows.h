/* Sums over the rows of a token matrix, a column each: the gradient of what is repeated for every
 * row. Float over some rows, double beyond, pieces of rows apart, so that threads do not matter. */
#ifndef KERNELS_CPU_SUM_ROWS_H
#define KERNELS_CPU_SUM_ROWS_H

#include "kernels/op.h"

/* Bytes of scratch for x (rows, width). */
size_t sum_rows_scratch(int64_t rows, int64_t width);
/* sum (width) of `sum_type` from x of `type`, F32 or BF16 each. */
void sum_rows(const void *x, DType type, int64_t rows, int64_t width, void *sum, DType sum_type,
              void *scratch);

#endif
