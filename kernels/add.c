/* y = a + s b, b repeated over the leading axes of a: y[i] = a[i] + s b[i mod count(b)]. a: any; b:
 * as many elements as some trailing axes of a have, so that a bias (E), a position encoding
 * (D*H*W, E) and a tensor of a's own shape all fit a (N, D, H, W, E). */
#include "kernels/options.h"

#include <string.h>

enum { IN_A, IN_B };

static const Option options[] = {
    {"scale", OPTION_FLOAT, offsetof(AddOptions, scale), 1, -1e9, 1e9, NULL, NULL, "factor on b"},
    {0}};

static bool shape(Call *call, Error *error) {
  const Tensor *a = &call->in[IN_A], *b = &call->in[IN_B];
  int64_t count = 1, wanted = tensor_count(b);
  for (int i = a->rank - 1; i >= 0 && count < wanted; i--) count *= a->dim[i];
  if (count != wanted || (b->rank > 0 && tensor_last(a) != tensor_last(b)))
    return fail(error, "add: the second input must cover the last axes of %s, found %s",
                tensor_shape_text(a), tensor_shape_text(b));
  call->out[0] = tensor_make(a->type, a->rank, a->dim);
  return true;
}

static void cost(const Call *call, Cost *cost) {
  cost->flops = (add_scale(call) != 1 ? 2. : 1.) * (double)tensor_count(&call->out[0]);
}

static void forward(const Call *call) {
  const REAL *a = call->in[IN_A].data, *b = call->in[IN_B].data;
  REAL *y = call->out[0].data, scale = (REAL)add_scale(call);
  int64_t count = tensor_count(&call->in[IN_A]), period = tensor_count(&call->in[IN_B]);
  for (int64_t i = 0; i < count; i++) y[i] = a[i] + scale * b[i % period];
}

static void backward(const Call *call) {
  const REAL *dy = call->dout[0].data;
  REAL *da = call->din[IN_A].data, *db = call->din[IN_B].data;
  int64_t count = tensor_count(&call->in[IN_A]), period = tensor_count(&call->in[IN_B]);
  for (int64_t j = 0; db && j < period; j++) {
    double sum = 0;
    for (int64_t i = j; i < count; i += period) sum += dy[i];
    db[j] = (REAL)(add_scale(call) * sum);
  }
  if (da && da != dy) memcpy(da, dy, tensor_bytes(&call->in[IN_A]));
}

const Op OP_ROW(add) = {
    .name = "add",
    .doc = "a + b, or a + scale b, b repeated over the leading axes of a",
    .min_in = 2,
    .max_in = 2,
    .n_out = 1,
    .flags = OP_INPLACE,
    .options = options,
    .options_bytes = sizeof(AddOptions),
    .shape = shape,
    .cost = cost,
    .reference = {.forward = forward, .backward = backward},
};
