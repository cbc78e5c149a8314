/* Tokens [start, start + length) of x (N, T.., C) as (N, grid, C), or (N, length, C) when no grid
 * is given. The gradient of the other tokens is zero. */
#include "kernels/options.h"

#include <string.h>

static const Option options[] = {
    {"start", OPTION_INT, offsetof(SliceOptions, start), 0, 0, 1 << 30, NULL, NULL, "first token"},
    {"length", OPTION_INT, offsetof(SliceOptions, length), 1, 1, 1 << 30, NULL, NULL, "tokens"},
    {"grid", OPTION_INTS, offsetof(SliceOptions, grid), 0, 1, 4096, NULL, NULL,
     "sizes D, H, W of the output; none: one axis of tokens"},
    {0}};

/* Tokens of one sample. */
static int64_t tokens(const Tensor *x) {
  return tensor_rows(x) / x->dim[0];
}

static bool shape(Call *call, Error *error) {
  const SliceOptions *o = call->options;
  const Tensor *x = &call->in[0];
  if (x->rank < 3)
    return fail(error, "slice: input has at least 3 axes (N, tokens, C), found %s",
                tensor_shape_text(x));
  if (o->start < 0 || o->length < 1 || o->start + (int64_t)o->length > tokens(x))
    return fail(error, "slice: tokens %d to %lld asked of %s, which has %lld", o->start,
                o->start + (long long)o->length, tensor_shape_text(x), (long long)tokens(x));
  if (o->grid.count != 0 && o->grid.count != 3)
    return fail(error, "slice: grid has 3 numbers (D, H, W) or none, found %d", o->grid.count);
  int64_t dim[MAX_RANK] = {x->dim[0], o->length, tensor_last(x)};
  if (o->grid.count == 3) {
    const int *g = o->grid.v;
    if ((int64_t)g[0] * g[1] * g[2] != o->length)
      return fail(error, "slice: grid %d x %d x %d does not hold %d tokens", g[0], g[1], g[2],
                  o->length);
    for (int a = 0; a < 3; a++) dim[1 + a] = g[a];
    dim[4] = tensor_last(x);
  }
  call->out[0] = tensor_make(x->type, o->grid.count == 3 ? 5 : 3, dim);
  return true;
}

/* The run alone is read; backward writes zeros around it, unless it adds. */
static void cost(const Call *call, Cost *cost) {
  double run = (double)tensor_bytes(&call->out[0]), all = (double)tensor_bytes(&call->in[0]);
  cost->bytes = !call->backward ? 2 * run : call->adds ? 3 * run : run + all;
}

static void forward(const Call *call) {
  const SliceOptions *o = call->options;
  const Tensor *x = &call->in[0];
  int64_t channels = tensor_last(x), count = o->length * channels;
  for (int64_t n = 0; n < x->dim[0]; n++)
    memcpy((REAL *)call->out[0].data + n * count,
           (const REAL *)x->data + (n * tokens(x) + o->start) * channels,
           (size_t)count * sizeof(REAL));
}

static void backward(const Call *call) {
  const SliceOptions *o = call->options;
  const Tensor *x = &call->in[0];
  int64_t channels = tensor_last(x), count = o->length * channels;
  if (!call->din[0].data) return;
  memset(call->din[0].data, 0, tensor_bytes(x));
  for (int64_t n = 0; n < x->dim[0]; n++)
    memcpy((REAL *)call->din[0].data + (n * tokens(x) + o->start) * channels,
           (const REAL *)call->dout[0].data + n * count, (size_t)count * sizeof(REAL));
}

const Op OP_ROW(slice) = {
    .name = "slice",
    .doc = "a run of tokens, as a grid if wanted",
    .min_in = 1,
    .max_in = 1,
    .n_out = 1,
    .options = options,
    .options_bytes = sizeof(SliceOptions),
    .shape = shape,
    .cost = cost,
    .reference = {.forward = forward, .backward = backward},
};
