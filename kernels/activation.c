/* Elementwise: relu max(x, 0); gelu x Phi(x) with the exact normal distribution function Phi;
 * sigmoid 1 / (1 + e^-x). Any shape. */
#include "kernels/options.h"

#include <math.h>

static const Option options[] = {{"kind", OPTION_CHOICE, offsetof(ActivationOptions, kind),
                                  ACT_RELU, 0, 3, "none|relu|gelu|sigmoid", NULL, "function"},
                                 {0}};

static bool shape(Call *call, Error *error) {
  const ActivationOptions *o = call->options;
  if (o->kind < ACT_NONE || o->kind > ACT_SIGMOID)
    return fail(error, "activation: kind is none, relu, gelu or sigmoid, found %d", o->kind);
  call->out[0] = call->in[0];
  call->out[0].data = NULL;
  return true;
}

static double value(int kind, double x) {
  if (kind == ACT_RELU) return x > 0 ? x : 0;
  if (kind == ACT_GELU) return x * .5 * erfc(-x * M_SQRT1_2);
  if (kind == ACT_SIGMOID) return 1 / (1 + exp(-x));
  return x;
}

static double slope(int kind, double x) {
  if (kind == ACT_RELU) return x > 0 ? 1 : 0;
  if (kind == ACT_GELU)
    return .5 * erfc(-x * M_SQRT1_2) + x * exp(-.5 * x * x) * M_SQRT1_2 * .5 * M_2_SQRTPI;
  if (kind == ACT_SIGMOID) return value(kind, x) * (1 - value(kind, x));
  return 1;
}

static void forward(const Call *call) {
  const ActivationOptions *o = call->options;
  const REAL *x = call->in[0].data;
  REAL *y = call->out[0].data;
  for (int64_t i = 0; i < tensor_count(&call->in[0]); i++) y[i] = (REAL)value(o->kind, x[i]);
}

static void backward(const Call *call) {
  const ActivationOptions *o = call->options;
  const REAL *x = call->in[0].data, *dy = call->dout[0].data;
  REAL *dx = call->din[0].data;
  for (int64_t i = 0; dx && i < tensor_count(&call->in[0]); i++)
    dx[i] = (REAL)(dy[i] * slope(o->kind, x[i]));
}

const Op OP_ROW(activation) = {
    .name = "activation",
    .doc = "elementwise relu, gelu or sigmoid",
    .min_in = 1,
    .max_in = 1,
    .n_out = 1,
    .flags = OP_INPLACE,
    .saves = {SAVES_IN(0)},
    .options = options,
    .options_bytes = sizeof(ActivationOptions),
    .shape = shape,
    .reference = {.forward = forward, .backward = backward},
};
