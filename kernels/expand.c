/* y[n, ...] = x[...] for n = 0 .. count-1: the same (learned queries) for every sample. */
#include "kernels/options.h"

#include <string.h>

static const Option options[] = {
    {"count", OPTION_INT, offsetof(ExpandOptions, count), 1, 1, 65536, NULL, NULL, "samples"}, {0}};

static bool shape(Call *call, Error *error) {
  const ExpandOptions *o = call->options;
  const Tensor *x = &call->in[0];
  if (x->rank >= MAX_RANK)
    return fail(error, "expand: input has at most %d axes, found %s", MAX_RANK - 1,
                tensor_shape_text(x));
  if (o->count < 1) return fail(error, "expand: count is at least 1, found %d", o->count);
  int64_t dim[MAX_RANK] = {o->count};
  for (int a = 0; a < x->rank; a++) dim[1 + a] = x->dim[a];
  call->out[0] = tensor_make(x->type, x->rank + 1, dim);
  return true;
}

static void forward(const Call *call) {
  const ExpandOptions *o = call->options;
  size_t bytes = tensor_bytes(&call->in[0]);
  for (int n = 0; n < o->count; n++)
    memcpy((char *)call->out[0].data + (size_t)n * bytes, call->in[0].data, bytes);
}

static void backward(const Call *call) {
  const ExpandOptions *o = call->options;
  const REAL *dy = call->dout[0].data;
  REAL *dx = call->din[0].data;
  int64_t count = tensor_count(&call->in[0]);
  for (int64_t i = 0; dx && i < count; i++) {
    double sum = 0;
    for (int n = 0; n < o->count; n++) sum += dy[n * count + i];
    dx[i] = (REAL)sum;
  }
}

const Op OP_ROW(expand) = {
    .name = "expand",
    .doc = "the same for every sample: (...) to (count, ...)",
    .min_in = 1,
    .max_in = 1,
    .n_out = 1,
    .options = options,
    .options_bytes = sizeof(ExpandOptions),
    .shape = shape,
    .reference = {.forward = forward, .backward = backward},
};
