/* One after another, along one of two axes. Bound by memory.
 *   tokens: in x_i (N, ..., C) with T_i tokens in the middle axes; out (N, sum of T_i, C).
 *   channels: in x_i (..., C_i) of one grid; out (..., sum of C_i). A convolution of such needs no
 *     copy: op conv takes parts. */
#include "kernels/options.h"

#include <string.h>

static const Option options[] = {{"axis", OPTION_CHOICE, offsetof(ConcatOptions, axis),
                                  CONCAT_TOKENS, 0, 1, "tokens|channels", NULL,
                                  "what is put together"},
                                 {0}};

static bool tokens_shape(Call *call, Error *error) {
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
    tokens += tensor_count(x) / x->dim[0] / tensor_last(x);
  }
  int64_t dim[3] = {first->dim[0], tokens, tensor_last(first)};
  call->out[0] = tensor_make(first->type, 3, dim);
  return true;
}

static bool channels_shape(Call *call, Error *error) {
  const Tensor *first = &call->in[0];
  int64_t channels = 0;
  for (int i = 0; i < call->n_in; i++) {
    const Tensor *x = &call->in[i];
    bool same = x->rank == first->rank && x->rank > 0;
    for (int a = 0; same && a + 1 < x->rank; a++) same = x->dim[a] == first->dim[a];
    if (!same)
      return fail(error, "concat: inputs 0 and %d differ before their channels: %s and %s", i,
                  tensor_shape_text(first), tensor_shape_text(x));
    channels += tensor_last(x);
  }
  call->out[0] = tensor_make(first->type, first->rank, first->dim);
  call->out[0].dim[first->rank - 1] = channels;
  return true;
}

static bool shape(Call *call, Error *error) {
  const ConcatOptions *o = call->options;
  return o->axis == CONCAT_CHANNELS ? channels_shape(call, error) : tokens_shape(call, error);
}

static void forward(const Call *call) {
  int64_t rows = concat_rows(call);
  REAL *y = call->out[0].data;
  for (int64_t row = 0; row < rows; row++)
    for (int i = 0; i < call->n_in; i++) {
      int64_t count = tensor_count(&call->in[i]) / rows;
      memcpy(y, (const REAL *)call->in[i].data + row * count, (size_t)count * sizeof *y);
      y += count;
    }
}

static void backward(const Call *call) {
  int64_t rows = concat_rows(call);
  const REAL *dy = call->dout[0].data;
  for (int64_t row = 0; row < rows; row++)
    for (int i = 0; i < call->n_in; i++) {
      int64_t count = tensor_count(&call->in[i]) / rows;
      REAL *dx = call->din[i].data;
      if (dx) memcpy(dx + row * count, dy, (size_t)count * sizeof *dx);
      dy += count;
    }
}

const Op OP_ROW(concat) = {
    .name = "concat",
    .doc = "the tokens of several grids one after another, or the channels of one grid's maps",
    .min_in = 1,
    .max_in = MAX_IN,
    .n_out = 1,
    .options = options,
    .options_bytes = sizeof(ConcatOptions),
    .shape = shape,
    .reference = {.forward = forward, .backward = backward},
};
