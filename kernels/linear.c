/* Linear layer over the last axis, with its activation: y = act(x w^T + b), x the token matrix
 * (T, Ein), w (Eout, Ein). Cost 2 T Ein Eout FLOP. The gradient through ReLU needs only the sign of
 * y, which is kept for it alone. */
#include "kernels/options.h"

#include <string.h>

static const Option options[] = {{"activation", OPTION_CHOICE, offsetof(LinearOptions, activation),
                                  ACT_NONE, 0, 0, "none|relu", NULL,
                                  "what is applied to the output"},
                                 {0}};

enum { IN_W, IN_B, IN_X };

static bool shape(Call *call, Error *error) {
  const Tensor *w = &call->in[IN_W], *b = &call->in[IN_B], *x = &call->in[IN_X];
  if (w->rank != 2 || x->rank < 1)
    return fail(error, "linear: weight is (Eout, Ein) and input (..., Ein), found %s and %s",
                tensor_shape_text(w), tensor_shape_text(x));
  if (tensor_last(x) != w->dim[1])
    return fail(error, "linear: weight %s expects %lld channels, the input is %s",
                tensor_shape_text(w), (long long)w->dim[1], tensor_shape_text(x));
  if (!tensor_absent(b) && (b->rank != 1 || b->dim[0] != w->dim[0]))
    return fail(error, "linear: bias is (%lld), found %s", (long long)w->dim[0],
                tensor_shape_text(b));
  call->out[0] = tensor_make(x->type, x->rank, x->dim);
  call->out[0].dim[x->rank - 1] = w->dim[0];
  return true;
}

static void cost(const Call *call, Cost *cost) {
  double forward =
      2.0 * (double)tensor_rows(&call->in[IN_X]) * (double)tensor_count(&call->in[IN_W]);
  cost->flops = call->backward ? 2 * forward : forward;
}

static int64_t terms(const Call *call, int gradient) {
  const Tensor *w = &call->in[IN_W];
  if (gradient < 0) return w->dim[1];
  return gradient < IN_X ? tensor_rows(&call->out[0]) : w->dim[0];
}

/* y tells where the ReLU let through. */
static unsigned saves_at(const Call *call) {
  const LinearOptions *o = call->options;
  return o->activation == ACT_RELU ? ~0u : ~SAVES_OUT(0);
}

static void forward(const Call *call) {
  bool relu = ((const LinearOptions *)call->options)->activation == ACT_RELU;
  const REAL *w = call->in[IN_W].data, *b = input_data(call, IN_B), *x = call->in[IN_X].data;
  REAL *y = call->out[0].data;
  int64_t ins = call->in[IN_W].dim[1], outs = call->in[IN_W].dim[0];
  for (int64_t row = 0; row < tensor_rows(&call->in[IN_X]); row++)
    for (int64_t o = 0; o < outs; o++) {
      double sum = b ? b[o] : 0;
      for (int64_t c = 0; c < ins; c++) sum += (double)x[row * ins + c] * w[o * ins + c];
      y[row * outs + o] = (REAL)(relu && sum < 0 ? 0 : sum);
    }
}

static void backward(const Call *call) {
  bool relu = ((const LinearOptions *)call->options)->activation == ACT_RELU;
  const REAL *w = call->in[IN_W].data, *x = call->in[IN_X].data;
  const REAL *y = call->out[0].data, *dy = call->dout[0].data;
  REAL *dw = call->din[IN_W].data, *db = call->din[IN_B].data, *dx = call->din[IN_X].data;
  int64_t ins = call->in[IN_W].dim[1], outs = call->in[IN_W].dim[0];
  for (int i = 0; i < call->n_in; i++)
    if (call->din[i].data) memset(call->din[i].data, 0, tensor_bytes(&call->din[i]));
  for (int64_t row = 0; row < tensor_rows(&call->in[IN_X]); row++)
    for (int64_t o = 0; o < outs; o++) {
      REAL g = relu && y[row * outs + o] <= 0 ? 0 : dy[row * outs + o];
      if (db) db[o] += g;
      for (int64_t c = 0; dx && c < ins; c++) dx[row * ins + c] += g * w[o * ins + c];
      for (int64_t c = 0; dw && c < ins; c++) dw[o * ins + c] += g * x[row * ins + c];
    }
}

const Op OP_ROW(linear) = {
    .name = "linear",
    .doc = "linear layer over the channels, optionally with bias and ReLU",
    .min_in = 3,
    .max_in = 3,
    .n_out = 1,
    .optional = SAVES_IN(IN_B),
    .saves = {[IN_W] = SAVES_IN(IN_X) | SAVES_OUT(0),
              [IN_B] = SAVES_OUT(0),
              [IN_X] = SAVES_IN(IN_W) | SAVES_OUT(0)},
    .saves_at = saves_at,
    .options = options,
    .options_bytes = sizeof(LinearOptions),
    .shape = shape,
    .cost = cost,
    .terms = terms,
    .reference = {.forward = forward, .backward = backward},
};
