/* Matrix products over the rows of a token matrix, a tile of rows at a time, so that what is done
 * to the result (moving it to its place, its type) happens while it is in the cache. Serves linear
 * and conv_transpose. Tiles go to threads in fixed shares; sums over rows are kept per thread and
 * added in the threads' order. */
#ifndef KERNELS_CPU_ROW_TILES_H
#define KERNELS_CPU_ROW_TILES_H

#include "kernels/op.h"

typedef struct Dense {
  const Call *call;
  int64_t rows, ins, outs; /* x (rows, ins), result (rows, outs) */
  bool by_input;           /* w is (ins, outs); otherwise (outs, ins) */
  const float *w;
  const void *x;
  DType x_type;   /* of x and dx: F32 or BF16, which passes through scratch */
  const float *b; /* (outs), added to every row of the result; NULL: none */
  bool relu;      /* of the result */
  float *y;       /* where results go without `finish` */
  /* Forward: takes away the results of the rows first .. first + count - 1, in `tile`. */
  void (*finish)(const Call *call, int64_t first, int64_t count, float *tile);
  /* Backward: the gradient of those rows, contiguous: made in `tile`, or where it already lies. */
  const float *(*gather)(const Call *call, int64_t first, int64_t count, float *tile);
  void *dx; /* NULL: not wanted */
  float *dw;
} Dense;

/* For prepare: scratch of one forward or backward. */
size_t dense_scratch(const Dense *dense, bool backward);
void dense_forward(const Dense *dense);
/* Returns the sums of the gradient's columns (outs), in scratch: the bias gradient. */
const double *dense_backward(const Dense *dense);

#endif
