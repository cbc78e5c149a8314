/* A linear layer along the axis after the batch, a map's depth, where op linear's is along the last
 * (MaskSAM's depth MLP):
 *   y[n,e,r] = b[e] + sum_d w[e,d] x[n,d,r]
 * w (E, D), b (E) or left out, x (N, D, ..., C) of rank 3 to 5, r: all that stands behind the
 * depth. Per sample a product of a small matrix and a wide one. Cost 2 N R D E FLOP; bound by
 * memory for a few slices. dw[e,d] = sum over n and r of dy x, db[e] that of dy, dx = w^T dy. */
#include "kernels/depth_mix.h"

#include <string.h>

static bool shape(Call *call, Error *error) {
  const Tensor *w = &call->in[DEPTH_W], *b = &call->in[DEPTH_B], *x = &call->in[DEPTH_X];
  if (w->rank != 2 || x->rank < 3)
    return fail(error,
                "depth_mix: weight is (outputs, slices) and input (N, slices, ..., C), found %s "
                "and %s",
                tensor_shape_text(w), tensor_shape_text(x));
  if (x->dim[1] != w->dim[1])
    return fail(error, "depth_mix: weight %s expects %lld slices, the input is %s",
                tensor_shape_text(w), (long long)w->dim[1], tensor_shape_text(x));
  if (!tensor_absent(b) && (b->rank != 1 || b->dim[0] != w->dim[0]))
    return fail(error, "depth_mix: bias is (%lld), found %s", (long long)w->dim[0],
                tensor_shape_text(b));
  call->out[0] = tensor_make(x->type, x->rank, x->dim);
  call->out[0].dim[1] = w->dim[0];
  return true;
}

static void cost(const Call *call, Cost *cost) {
  DepthSizes s = depth_sizes(call);
  double forward = 2.0 * (double)(s.samples * s.rest) * (double)(s.ins * s.outs);
  cost->flops = call->backward ? 2 * forward : forward;
}

static int64_t terms(const Call *call, int gradient) {
  DepthSizes s = depth_sizes(call);
  if (gradient < 0) return s.ins;
  return gradient == DEPTH_X ? s.outs : s.samples * s.rest;
}

static void forward(const Call *call) {
  DepthSizes s = depth_sizes(call);
  const REAL *w = call->in[DEPTH_W].data, *b = input_data(call, DEPTH_B);
  REAL *y = call->out[0].data;
  for (int64_t n = 0; n < s.samples; n++) {
    const REAL *x = (const REAL *)call->in[DEPTH_X].data + n * s.ins * s.rest;
    for (int64_t e = 0; e < s.outs; e++)
      for (int64_t r = 0; r < s.rest; r++) {
        double sum = b ? b[e] : 0;
        for (int64_t d = 0; d < s.ins; d++) sum += (double)w[e * s.ins + d] * x[d * s.rest + r];
        *y++ = (REAL)sum;
      }
  }
}

/* One plane of dy against one of x. */
static void pair(const Call *call, const DepthSizes *s, int64_t n, int64_t e, int64_t d) {
  int64_t from = (n * s->ins + d) * s->rest;
  const REAL *w = call->in[DEPTH_W].data, *x = call->in[DEPTH_X].data;
  const REAL *dy = (const REAL *)call->dout[0].data + (n * s->outs + e) * s->rest;
  REAL *dw = call->din[DEPTH_W].data, *dx = call->din[DEPTH_X].data;
  double sum = 0;
  for (int64_t r = 0; r < s->rest; r++) {
    if (dw) sum += (double)dy[r] * x[from + r];
    if (dx) dx[from + r] += w[e * s->ins + d] * dy[r];
  }
  if (dw) dw[e * s->ins + d] += (REAL)sum;
}

static void backward(const Call *call) {
  DepthSizes s = depth_sizes(call);
  const REAL *dy = call->dout[0].data;
  REAL *db = call->din[DEPTH_B].data;
  for (int i = 0; i < call->n_in; i++)
    if (call->din[i].data) memset(call->din[i].data, 0, tensor_bytes(&call->din[i]));
  for (int64_t n = 0; n < s.samples; n++)
    for (int64_t e = 0; e < s.outs; e++) {
      double sum = 0;
      for (int64_t r = 0; db && r < s.rest; r++) sum += (double)dy[(n * s.outs + e) * s.rest + r];
      if (db) db[e] += (REAL)sum;
      for (int64_t d = 0; d < s.ins; d++) pair(call, &s, n, e, d);
    }
}

const Op OP_ROW(depth_mix) = {
    .name = "depth_mix",
    .doc = "linear layer along the axis after the batch: the slices of a map (MaskSAM's depth MLP)",
    .min_in = 3,
    .max_in = 3,
    .n_out = 1,
    .optional = SAVES_IN(DEPTH_B),
    .saves = {[DEPTH_W] = SAVES_IN(DEPTH_X), [DEPTH_X] = SAVES_IN(DEPTH_W)},
    .shape = shape,
    .cost = cost,
    .terms = terms,
    .reference = {.forward = forward, .backward = backward},
};
