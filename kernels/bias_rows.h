/* The bias of reference convolutions: b (Cout) is what each of y's rows of Cout begins with, and db
 * is the sum over the rows of dy. b may be left out, db unwanted. */
#ifndef KERNELS_BIAS_ROWS_H
#define KERNELS_BIAS_ROWS_H

#include "kernels/op.h"

static inline void bias_spread(const Call *call, int bias) {
  const REAL *b = input_data(call, bias);
  REAL *y = call->out[0].data;
  int64_t outs = tensor_last(&call->out[0]);
  for (int64_t i = 0; i < tensor_count(&call->out[0]); i++) y[i] = b ? b[i % outs] : 0;
}

/* Adds to db. */
static inline void bias_gradient(const Call *call, int bias) {
  const REAL *dy = call->dout[0].data;
  REAL *db = call->din[bias].data;
  int64_t outs = tensor_last(&call->dout[0]);
  for (int64_t i = 0; db && i < tensor_count(&call->dout[0]); i++) db[i % outs] += dy[i];
}

#endif
