#include "kernels/pool.h"

const Option pool_options[] = {{"factor", OPTION_INTS, offsetof(PoolOptions, factor), 0, 1, 64,
                                NULL, "2,2,2", "window and stride along D, H, W"},
                               {0}};

bool pool_dims(const Call *call, const Ints *factor, int64_t *dim, Error *error) {
  const char *op = call->op->name;
  const Tensor *x = &call->in[0];
  if (factor->count != 3)
    return fail(error, "%s: factor has 3 numbers (D, H, W), found %d", op, factor->count);
  for (int a = 0; a < x->rank; a++) dim[a] = x->dim[a];
  for (int a = 0; a < 3; a++) {
    if (dim[1 + a] % factor->v[a] != 0)
      return fail(error, "%s: input %s, axis %c has size %lld, which factor %d does not divide", op,
                  tensor_shape_text(x), "DHW"[a], (long long)dim[1 + a], factor -> v[a]);
    dim[1 + a] /= factor->v[a];
  }
  return true;
}

bool pool_shape(Call *call, Error *error) {
  const PoolOptions *o = call->options;
  const Tensor *x = &call->in[0];
  if (x->rank != 5)
    return fail(error, "%s: input has 5 axes (N, D, H, W, C), found %s", call->op->name,
                tensor_shape_text(x));
  int64_t dim[MAX_RANK];
  if (!pool_dims(call, &o->factor, dim, error)) return false;
  call->out[0] = tensor_make(x->type, 5, dim);
  return true;
}
