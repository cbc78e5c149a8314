/* y[n, ...] = x[...] for n = 0 .. count-1: the same (learned queries) for every sample. inner: x
 * has samples of its own, each of which is repeated: y[n count + q, ...] = x[n, ...] (an image for
 * each of its queries). */
#include "kernels/options.h"

#include <string.h>

static const Option options[] = {
    {"count", OPTION_INT, offsetof(ExpandOptions, count), 1, 1, 65536, NULL, NULL, "samples"},
    {"inner", OPTION_BOOL, offsetof(ExpandOptions, inner), 0, 0, 1, NULL, NULL,
     "x has samples, each is repeated: (N, ...) to (N count, ...)"},
    {0}};

static bool shape(Call *call, Error *error) {
  const ExpandOptions *o = call->options;
  const Tensor *x = &call->in[0];
  if (o->count < 1) return fail(error, "expand: count is at least 1, found %d", o->count);
  if (o->inner && !x->rank)
    return fail(error, "expand: inner: input has samples (N, ...), found %s", tensor_shape_text(x));
  if (o->inner) {
    call->out[0] = tensor_make(x->type, x->rank, x->dim);
    call->out[0].dim[0] *= o->count;
    return true;
  }
  if (x->rank >= MAX_RANK)
    return fail(error, "expand: input has at most %d axes, found %s", MAX_RANK - 1,
                tensor_shape_text(x));
  int64_t dim[MAX_RANK] = {o->count};
  for (int a = 0; a < x->rank; a++) dim[1 + a] = x->dim[a];
  call->out[0] = tensor_make(x->type, x->rank + 1, dim);
  return true;
}

static void forward(const Call *call) {
  const ExpandOptions *o = call->options;
  int64_t samples = expand_samples(call);
  size_t bytes = tensor_bytes(&call->in[0]) / (size_t)samples;
  for (int64_t y = 0; y < samples * o->count; y++)
    memcpy((char *)call->out[0].data + (size_t)y * bytes,
           (const char *)call->in[0].data + (size_t)(y / o->count) * bytes, bytes);
}

static void backward(const Call *call) {
  const ExpandOptions *o = call->options;
  const REAL *dy = call->dout[0].data;
  REAL *dx = call->din[0].data;
  int64_t all = tensor_count(&call->in[0]), count = all / expand_samples(call);
  for (int64_t i = 0; dx && i < all; i++) {
    const REAL *first = dy + i / count * o->count * count + i % count;
    double sum = 0;
    for (int n = 0; n < o->count; n++) sum += first[n * count];
    dx[i] = (REAL)sum;
  }
}

const Op OP_ROW(expand) = {
    .name = "expand",
    .doc = "the same for every sample: (...) to (count, ...), or (N, ...) to (N count, ...)",
    .min_in = 1,
    .max_in = 1,
    .n_out = 1,
    .options = options,
    .options_bytes = sizeof(ExpandOptions),
    .shape = shape,
    .reference = {.forward = forward, .backward = backward},
};
