#include "kernels/pool.h"

bool pool_shape(const char *op, const Ints *factor, const Tensor *x, int64_t *dim, Error *error) {
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
