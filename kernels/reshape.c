/* The same numbers under another shape: y = x, of as many elements. The plan lets y lie in x's
 * place, whoever else reads x, and nothing is moved (OP_VIEW); but for a few values that must stay
 * apart (engine/plan.c). I32 too: labels of slices as a batch. */
#include "kernels/options.h"

#include <string.h>

static const Option options[] = {{"shape", OPTION_INTS, offsetof(ReshapeOptions, shape), 0, 0,
                                  1 << 30, NULL, "0",
                                  "axes of the output; one may be 0: what is left"},
                                 {0}};

/* The one that is left out, if it comes out even. */
static bool fill_left(const ReshapeOptions *o, int64_t count, int64_t *dim) {
  int64_t known = 1, left = -1;
  for (int a = 0; a < o->shape.count; a++) {
    dim[a] = o->shape.v[a];
    if (dim[a] == 0 && left >= 0) return false;
    if (dim[a] == 0)
      left = a;
    else
      known *= dim[a];
  }
  if (left >= 0) dim[left] = count / known;
  return left >= 0 ? dim[left] > 0 && dim[left] * known == count : known == count;
}

static bool shape(Call *call, Error *error) {
  const ReshapeOptions *o = call->options;
  const Tensor *x = &call->in[0];
  int64_t dim[MAX_INTS];
  if (o->shape.count < 1 || o->shape.count > MAX_RANK)
    return fail(error, "reshape: shape has 1 to %d axes, found %d", MAX_RANK, o->shape.count);
  if (!fill_left(o, tensor_count(x), dim)) {
    for (int a = 0; a < o->shape.count; a++) dim[a] = o->shape.v[a];
    Tensor asked = tensor_make(x->type, o->shape.count, dim);
    return fail(error, "reshape: %s does not come out even as %s (one axis may be 0: what is left)",
                tensor_shape_text(x), tensor_shape_text(&asked));
  }
  call->out[0] = tensor_make(x->type, o->shape.count, dim);
  return true;
}

static void forward(const Call *call) {
  const Tensor *x = &call->in[0], *y = &call->out[0];
  if (y->data != x->data) memcpy(y->data, x->data, tensor_bytes(x));
}

static void backward(const Call *call) {
  const Tensor *dy = &call->dout[0], *dx = &call->din[0];
  if (dx->data && dx->data != dy->data) memcpy(dx->data, dy->data, tensor_bytes(dx));
}

const Op OP_ROW(reshape) = {
    .name = "reshape",
    .doc = "the same numbers under another shape",
    .min_in = 1,
    .max_in = 1,
    .n_out = 1,
    .flags = OP_INPLACE | OP_VIEW,
    .options = options,
    .options_bytes = sizeof(ReshapeOptions),
    .shape = shape,
    .reference = {.forward = forward, .backward = backward},
};
