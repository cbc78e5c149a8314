/* Elementwise: relu max(x, 0); gelu x Phi(x) with the exact normal distribution function Phi;
 * sigmoid s(x) = 1 / (1 + e^-x); leaky_relu x, below zero slope x; silu x s(x); step 1 where x > 0,
 * else 0, with no gradient: it is zero. Any shape. */
#include "kernels/options.h"

#include <math.h>

static const Option options[] = {
    {"kind", OPTION_CHOICE, offsetof(ActivationOptions, kind), ACT_RELU, 0, 0,
     "none|relu|gelu|sigmoid|leaky_relu|silu|step", NULL, "function"},
    {"slope", OPTION_FLOAT, offsetof(ActivationOptions, slope), .01, 0, 1, NULL, NULL,
     "of leaky_relu below zero; the other functions have none"},
    {0}};

static bool shape(Call *call, Error *error) {
  const ActivationOptions *o = call->options;
  if (o->kind < ACT_NONE || o->kind > ACT_STEP)
    return fail(error, "activation: kind is a number from %d to %d, found %d", ACT_NONE, ACT_STEP,
                o->kind);
  call->out[0] = call->in[0];
  call->out[0].data = NULL;
  return true;
}

static double sigmoid(double x) {
  return 1 / (1 + exp(-x));
}

static double value(const ActivationOptions *o, double x) {
  if (o->kind == ACT_RELU) return x > 0 ? x : 0;
  if (o->kind == ACT_GELU) return x * .5 * erfc(-x * M_SQRT1_2);
  if (o->kind == ACT_SIGMOID) return sigmoid(x);
  if (o->kind == ACT_LEAKY_RELU) return x > 0 ? x : o->slope * x;
  if (o->kind == ACT_SILU) return x * sigmoid(x);
  if (o->kind == ACT_STEP) return x > 0 ? 1 : 0;
  return x;
}

static double slope(const ActivationOptions *o, double x) {
  if (o->kind == ACT_RELU) return x > 0 ? 1 : 0;
  if (o->kind == ACT_GELU)
    return .5 * erfc(-x * M_SQRT1_2) + x * exp(-.5 * x * x) * M_SQRT1_2 * .5 * M_2_SQRTPI;
  if (o->kind == ACT_SIGMOID) return sigmoid(x) * (1 - sigmoid(x));
  if (o->kind == ACT_LEAKY_RELU) return x > 0 ? 1 : o->slope;
  if (o->kind == ACT_SILU) return sigmoid(x) * (1 + x * sigmoid(-x));
  if (o->kind == ACT_STEP) return 0;
  return 1;
}

static unsigned constant_at(const Call *call) {
  return ((const ActivationOptions *)call->options)->kind == ACT_STEP ? SAVES_IN(0) : 0;
}

static void forward(const Call *call) {
  const ActivationOptions *o = call->options;
  const REAL *x = call->in[0].data;
  REAL *y = call->out[0].data;
  for (int64_t i = 0; i < tensor_count(&call->in[0]); i++) y[i] = (REAL)value(o, x[i]);
}

static void backward(const Call *call) {
  const ActivationOptions *o = call->options;
  const REAL *x = call->in[0].data, *dy = call->dout[0].data;
  REAL *dx = call->din[0].data;
  for (int64_t i = 0; dx && i < tensor_count(&call->in[0]); i++)
    dx[i] = (REAL)(dy[i] * slope(o, x[i]));
}

const Op OP_ROW(activation) = {
    .name = "activation",
    .doc = "elementwise relu, gelu, sigmoid, leaky_relu, silu or step",
    .min_in = 1,
    .max_in = 1,
    .n_out = 1,
    .flags = OP_INPLACE,
    .saves = {SAVES_IN(0)},
    .constant_at = constant_at,
    .options = options,
    .options_bytes = sizeof(ActivationOptions),
    .shape = shape,
    .reference = {.forward = forward, .backward = backward},
};
