/* y = a * (f(b) + plus), f the identity or the sigmoid (a gate), plus 0 or what keeps a itself (1:
 * y = a + a f(b)). b is of a's shape, covers its last axes as in op add (a scale (C) of each
 * channel, a map (D*H*W, C) for every sample), or has 1 in the place of neighbouring axes of a
 * (N, D, H, W, C), over which it is repeated: (N, D, H, W, 1) a number a voxel, (N, 1, 1, 1, C) one
 * a sample and channel, (1) one in all.
 *   da = dy (f(b) + plus);  db = f'(b) sum over the repeats of dy a. Bound by memory. */
#include "kernels/multiply.h"

#include <math.h>

enum { IN_A, IN_B };

static const Option options[] = {{"sigmoid", OPTION_BOOL, offsetof(MultiplyOptions, sigmoid), 0, 0,
                                  1, NULL, NULL, "b is a gate: its sigmoid multiplies"},
                                 {"plus", OPTION_FLOAT, offsetof(MultiplyOptions, plus), 0, -1e3,
                                  1e3, NULL, NULL,
                                  "added to what multiplies; 1 keeps a beside the product"},
                                 {0}};

static bool shape(Call *call, Error *error) {
  const Tensor *a = &call->in[IN_A], *b = &call->in[IN_B];
  MultiplySizes sizes;
  if (!multiply_sizes(a, b, &sizes))
    return fail(error,
                "multiply: the second input covers the last axes of %s or has 1 in the place of "
                "neighbouring axes, found %s",
                tensor_shape_text(a), tensor_shape_text(b));
  call->out[0] = tensor_make(a->type, a->rank, a->dim);
  return true;
}

/* With b as it is, its gradient does not read it. */
static unsigned saves_at(const Call *call) {
  const MultiplyOptions *o = call->options;
  unsigned saves = 0;
  if (call->wants & SAVES_IN(IN_A) || o->sigmoid) saves |= SAVES_IN(IN_B);
  if (call->wants & SAVES_IN(IN_B)) saves |= SAVES_IN(IN_A);
  return saves;
}

static void cost(const Call *call, Cost *cost) {
  double products = call->backward && call->wants & SAVES_IN(IN_B) ? 2 : 0;
  if (!call->backward || call->wants & SAVES_IN(IN_A)) products += 1;
  cost->flops = products * (double)tensor_count(&call->out[0]);
}

static double sigmoid(double x) {
  return 1 / (1 + exp(-x));
}

static double factor(const MultiplyOptions *o, double b) {
  return (o->sigmoid ? sigmoid(b) : b) + o->plus;
}

static void forward(const Call *call) {
  const REAL *a = call->in[IN_A].data, *b = call->in[IN_B].data;
  REAL *y = call->out[0].data;
  MultiplySizes s;
  if (!multiply_sizes(&call->in[IN_A], &call->in[IN_B], &s)) return;
  for (int64_t i = 0; i < tensor_count(&call->in[IN_A]); i++) {
    int64_t of = i / (s.repeats * s.inner) * s.inner + i % s.inner;
    y[i] = (REAL)(a[i] * factor(call->options, b[of]));
  }
}

/* db first: in place da is dy. */
static void backward(const Call *call) {
  const MultiplyOptions *o = call->options;
  const REAL *a = call->in[IN_A].data, *b = call->in[IN_B].data, *dy = call->dout[0].data;
  REAL *da = call->din[IN_A].data, *db = call->din[IN_B].data;
  MultiplySizes s;
  if (!multiply_sizes(&call->in[IN_A], &call->in[IN_B], &s)) return;
  for (int64_t k = 0; db && k < s.outer * s.inner; k++) {
    double sum = 0;
    for (int64_t r = 0; r < s.repeats; r++) {
      int64_t i = (k / s.inner * s.repeats + r) * s.inner + k % s.inner;
      sum += (double)dy[i] * a[i];
    }
    db[k] = (REAL)(o->sigmoid ? sum * sigmoid(b[k]) * (1 - sigmoid(b[k])) : sum);
  }
  for (int64_t i = 0; da && i < tensor_count(&call->in[IN_A]); i++)
    da[i] = (REAL)(dy[i] * factor(o, b[i / (s.repeats * s.inner) * s.inner + i % s.inner]));
}

const Op OP_ROW(multiply) = {
    .name = "multiply",
    .doc = "a * b, or a * sigmoid(b), b repeated over axes of a that it lacks",
    .min_in = 2,
    .max_in = 2,
    .n_out = 1,
    .flags = OP_INPLACE,
    .saves = {SAVES_IN(IN_B), SAVES_IN(IN_A) | SAVES_IN(IN_B)},
    .saves_at = saves_at,
    .options = options,
    .options_bytes = sizeof(MultiplyOptions),
    .shape = shape,
    .cost = cost,
    .reference = {.forward = forward, .backward = backward},
};
