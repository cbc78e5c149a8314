/* y[.., j] = e^x[.., j] / sum_k e^x[.., k] for j < C - drop: the last `drop` columns ("no object")
 * count in the sum and are left out of the output. x (..., C), y (..., C - drop). */
#include "kernels/options.h"

#include <math.h>

static const Option options[] = {{"drop", OPTION_INT, offsetof(SoftmaxOptions, drop), 0, 0, 65536,
                                  NULL, NULL, "last columns left out of the output"},
                                 {0}};

static bool shape(Call *call, Error *error) {
  const SoftmaxOptions *o = call->options;
  const Tensor *x = &call->in[0];
  if (x->rank < 1) return fail(error, "softmax: input has at least 1 axis, found a scalar");
  if (o->drop < 0 || o->drop >= tensor_last(x))
    return fail(error, "softmax: drop is less than the columns of %s, found %d",
                tensor_shape_text(x), o->drop);
  call->out[0] = tensor_make(x->type, x->rank, x->dim);
  call->out[0].dim[x->rank - 1] -= o->drop;
  return true;
}

/* Largest element and sum of exponentials of one row. */
static double row_sum(const REAL *x, int64_t count, double *top) {
  *top = x[0];
  for (int64_t k = 1; k < count; k++) *top = x[k] > *top ? x[k] : *top;
  double sum = 0;
  for (int64_t k = 0; k < count; k++) sum += exp(x[k] - *top);
  return sum;
}

static void forward(const Call *call) {
  int64_t columns = tensor_last(&call->in[0]), kept = tensor_last(&call->out[0]);
  for (int64_t row = 0; row < tensor_rows(&call->in[0]); row++) {
    const REAL *x = (const REAL *)call->in[0].data + row * columns;
    REAL *y = (REAL *)call->out[0].data + row * kept;
    double top, sum = row_sum(x, columns, &top);
    for (int64_t k = 0; k < kept; k++) y[k] = (REAL)(exp(x[k] - top) / sum);
  }
}

static void backward(const Call *call) {
  int64_t columns = tensor_last(&call->in[0]), kept = tensor_last(&call->out[0]);
  if (!call->din[0].data) return;
  for (int64_t row = 0; row < tensor_rows(&call->in[0]); row++) {
    const REAL *x = (const REAL *)call->in[0].data + row * columns;
    const REAL *dy = (const REAL *)call->dout[0].data + row * kept;
    REAL *dx = (REAL *)call->din[0].data + row * columns;
    double top, sum = row_sum(x, columns, &top), mean = 0;
    for (int64_t k = 0; k < kept; k++) mean += dy[k] * exp(x[k] - top) / sum;
    for (int64_t k = 0; k < columns; k++)
      dx[k] = (REAL)(exp(x[k] - top) / sum * ((k < kept ? dy[k] : 0) - mean));
  }
}

const Op OP_ROW(softmax) = {
    .name = "softmax",
    .doc = "softmax over the last axis, last columns droppable",
    .min_in = 1,
    .max_in = 1,
    .n_out = 1,
    .saves = {SAVES_IN(0)},
    .options = options,
    .options_bytes = sizeof(SoftmaxOptions),
    .shape = shape,
    .reference = {.forward = forward, .backward = backward},
};
