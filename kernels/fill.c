/* One number everywhere: no inputs; y of `shape`, all `value`. What stands in for a parameter that
 * a model does not have (a norm without scale and shift). */
#include "kernels/options.h"

static const Option options[] = {
    {"shape", OPTION_INTS, offsetof(FillOptions, shape), 0, 1, 1 << 30, NULL, "1",
     "axes of the output"},
    {"value", OPTION_FLOAT, offsetof(FillOptions, value), 0, -1e30, 1e30, NULL, NULL, "the number"},
    {0}};

static bool shape(Call *call, Error *error) {
  const FillOptions *o = call->options;
  if (o->shape.count < 1 || o->shape.count > MAX_RANK)
    return fail(error, "fill: shape has 1 to %d axes, found %d", MAX_RANK, o->shape.count);
  int64_t dim[MAX_RANK];
  for (int a = 0; a < o->shape.count; a++) dim[a] = o->shape.v[a];
  call->out[0] = tensor_make(F32, o->shape.count, dim);
  return true;
}

static void forward(const Call *call) {
  REAL *y = call->out[0].data;
  for (int64_t i = 0; i < tensor_count(&call->out[0]); i++)
    y[i] = (REAL)((const FillOptions *)call->options)->value;
}

const Op OP_ROW(fill) = {
    .name = "fill",
    .doc = "one number everywhere",
    .min_in = 0,
    .max_in = 0,
    .n_out = 1,
    .flags = OP_NO_GRADIENT | OP_CONSTANT,
    .options = options,
    .options_bytes = sizeof(FillOptions),
    .shape = shape,
    .reference = {.forward = forward},
};
