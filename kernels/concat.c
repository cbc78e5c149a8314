/* Token matrices one after another: in: x_i (N, ..., C) with T_i tokens in the middle axes; out:
 * (N, sum of T_i, C). */
#include "kernels/options.h"

#include <string.h>

/* Elements of one sample. */
static int64_t part(const Tensor *x) {
  return tensor_count(x) / x->dim[0];
}

static bool shape(Call *call, Error *error) {
  const Tensor *first = &call->in[0];
  int64_t tokens = 0;
  for (int i = 0; i < call->n_in; i++) {
    const Tensor *x = &call->in[i];
    if (x->rank < 3)
      return fail(error, "concat: input %d has at least 3 axes (N, tokens, C), found %s", i,
                  tensor_shape_text(x));
    if (x->dim[0] != first->dim[0] || tensor_last(x) != tensor_last(first))
      return fail(error, "concat: inputs 0 and %d differ in samples or channels: %s and %s", i,
                  tensor_shape_text(first), tensor_shape_text(x));
    tokens += part(x) / tensor_last(x);
  }
  int64_t dim[3] = {first->dim[0], tokens, tensor_last(first)};
  call->out[0] = tensor_make(first->type, 3, dim);
  return true;
}

static void forward(const Call *call) {
  REAL *y = call->out[0].data;
  for (int64_t n = 0; n < call->out[0].dim[0]; n++)
    for (int i = 0; i < call->n_in; i++) {
      int64_t count = part(&call->in[i]);
      memcpy(y, (const REAL *)call->in[i].data + n * count, (size_t)count * sizeof *y);
      y += count;
    }
}

static void backward(const Call *call) {
  const REAL *dy = call->dout[0].data;
  for (int64_t n = 0; n < call->out[0].dim[0]; n++)
    for (int i = 0; i < call->n_in; i++) {
      int64_t count = part(&call->in[i]);
      REAL *dx = call->din[i].data;
      if (dx) memcpy(dx + n * count, dy, (size_t)count * sizeof *dx);
      dy += count;
    }
}

const Op OP_ROW(concat) = {
    .name = "concat",
    .doc = "the tokens of several grids one after another",
    .min_in = 1,
    .max_in = MAX_IN,
    .n_out = 1,
    .shape = shape,
    .reference = {.forward = forward, .backward = backward},
};
