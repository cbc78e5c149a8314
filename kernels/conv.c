/* 3D convolution, channels last:
 *   y[n,d,h,w,o] = b[o] + sum_{kd,kh,kw,c} w[o,kd,kh,kw,c]
 *                                          x[n, d*sd+kd-pd, h*sh+kh-ph, w*sw+kw-pw, c]
 * with p = (k-1)/2 and zeros outside. c runs over the channels of one to four inputs in turn, so
 * that the decoder's skip concatenation needs no copy. Cost 2 N D'H'W' Cout Cin kd kh kw FLOP. */
#include "kernels/bias_rows.h"
#include "kernels/options.h"

#include <string.h>

static const Option options[] = {{"stride", OPTION_INTS, offsetof(ConvOptions, stride), 0, 1, 16,
                                  NULL, "1,1,1", "stride along D, H, W"},
                                 {0}};

enum { IN_W, IN_B, IN_X };

static bool shape(Call *call, Error *error) {
  const ConvOptions *o = call->options;
  const Tensor *w = &call->in[IN_W], *b = &call->in[IN_B], *x = &call->in[IN_X];
  if (w->rank != 5 || x->rank != 5)
    return fail(error, "conv: weight and input have 5 axes, found %s and %s", tensor_shape_text(w),
                tensor_shape_text(x));
  if (o->stride.count != 3)
    return fail(error, "conv: stride has 3 numbers, found %d", o->stride.count);
  int64_t channels = 0;
  for (int i = IN_X; i < call->n_in; i++) {
    channels += call->in[i].dim[4];
    if (call->in[i].rank != 5 || memcmp(call->in[i].dim, x->dim, 4 * sizeof x->dim[0]) != 0)
      return fail(error, "conv: the inputs differ in size: %s and %s", tensor_shape_text(x),
                  tensor_shape_text(&call->in[i]));
  }
  if (channels != w->dim[4] || (tensor_count(b) != w->dim[0] && !tensor_absent(b)))
    return fail(error, "conv: weight %s and bias %s do not fit %lld input channels",
                tensor_shape_text(w), tensor_shape_text(b), (long long)channels);
  int64_t dim[5] = {x->dim[0], 0, 0, 0, w->dim[0]};
  for (int a = 0; a < 3; a++) {
    int64_t k = w->dim[1 + a];
    dim[1 + a] = (x->dim[1 + a] + 2 * ((k - 1) / 2) - k) / o->stride.v[a] + 1;
    if (x->dim[1 + a] + 2 * ((k - 1) / 2) < k)
      return fail(error, "conv: weight %s is larger than the input %s", tensor_shape_text(w),
                  tensor_shape_text(x));
  }
  call->out[0] = tensor_make(x->type, 5, dim);
  return true;
}

static void cost(const Call *call, Cost *cost) {
  const Tensor *w = &call->in[IN_W];
  double forward =
      2.0 * (double)tensor_count(&call->out[0]) * (double)(tensor_count(w) / w->dim[0]);
  cost->flops = call->backward ? 2 * forward : forward;
}

static int64_t terms(const Call *call, int gradient) {
  const Tensor *w = &call->in[IN_W];
  int64_t outs = w->dim[0], channels = w->dim[4], taps = tensor_count(w) / (outs * channels);
  if (gradient < 0) return taps * channels;
  return gradient < IN_X ? tensor_rows(&call->out[0]) : taps * outs;
}

/* Walks all (output voxel, kernel tap) pairs that fall inside the input. */
typedef void Tap(const Call *call, int64_t out_row, int64_t in_row, int64_t tap);

static void walk(const Call *call, Tap *tap) {
  const ConvOptions *o = call->options;
  const int64_t *k = &call->in[IN_W].dim[1];
  const int64_t *in = &call->in[IN_X].dim[0], *out = &call->out[0].dim[0];
  for (int64_t row = 0; row < tensor_rows(&call->out[0]); row++) {
    int64_t at[4] = {row / (out[1] * out[2] * out[3]), row / (out[2] * out[3]) % out[1],
                     row / out[3] % out[2], row % out[3]};
    for (int64_t t = 0; t < k[0] * k[1] * k[2]; t++) {
      int64_t tap_at[3] = {t / (k[1] * k[2]), t / k[2] % k[1], t % k[2]};
      int64_t source = at[0];
      bool inside = true;
      for (int a = 0; a < 3; a++) {
        int64_t i = at[1 + a] * o->stride.v[a] + tap_at[a] - (k[a] - 1) / 2;
        inside = inside && i >= 0 && i < in[1 + a];
        source = source * in[1 + a] + i;
      }
      if (inside) tap(call, row, source, t);
    }
  }
}

static void tap_forward(const Call *call, int64_t out_row, int64_t in_row, int64_t tap) {
  const Tensor *w = &call->in[IN_W];
  int64_t outs = w->dim[0], channels = w->dim[4], taps = tensor_count(w) / (outs * channels);
  REAL *y = (REAL *)call->out[0].data + out_row * outs;
  int64_t first = 0;
  for (int i = IN_X; i < call->n_in; i++) {
    int64_t part = call->in[i].dim[4];
    const REAL *x = (const REAL *)call->in[i].data + in_row * part;
    for (int64_t o = 0; o < outs; o++) {
      const REAL *weight = (const REAL *)w->data + (o * taps + tap) * channels + first;
      double sum = 0;
      for (int64_t c = 0; c < part; c++) sum += (double)weight[c] * x[c];
      y[o] += (REAL)sum;
    }
    first += part;
  }
}

static void tap_backward(const Call *call, int64_t out_row, int64_t in_row, int64_t tap) {
  const Tensor *w = &call->in[IN_W];
  int64_t outs = w->dim[0], channels = w->dim[4], taps = tensor_count(w) / (outs * channels);
  const REAL *dy = (const REAL *)call->dout[0].data + out_row * outs;
  int64_t first = 0;
  for (int i = IN_X; i < call->n_in; i++) {
    int64_t part = call->in[i].dim[4];
    REAL *dx = call->din[i].data;
    for (int64_t o = 0; o < outs; o++) {
      int64_t at = (o * taps + tap) * channels + first;
      if (dx)
        for (int64_t c = 0; c < part; c++)
          dx[in_row * part + c] += dy[o] * ((const REAL *)w->data)[at + c];
      if (call->din[IN_W].data)
        for (int64_t c = 0; c < part; c++)
          ((REAL *)call->din[IN_W].data)[at + c] +=
              dy[o] * ((const REAL *)call->in[i].data)[in_row * part + c];
    }
    first += part;
  }
}

static void forward(const Call *call) {
  bias_spread(call, IN_B);
  walk(call, tap_forward);
}

static void backward(const Call *call) {
  for (int i = 0; i < call->n_in; i++)
    if (call->din[i].data) memset(call->din[i].data, 0, tensor_bytes(&call->din[i]));
  walk(call, tap_backward);
  bias_gradient(call, IN_B);
}

const Op OP_ROW(conv) = {
    .name = "conv",
    .doc =
        "3D convolution over one input or the concatenation of up to four (nnU-Net's conv block)",
    .min_in = 3,
    .max_in = IN_X + CONV_PARTS,
    .n_out = 1,
    .flags = OP_UNORDERED,
    .optional = SAVES_IN(IN_B),
    .saves = {[IN_W] = CONV_X,
              [IN_X] = SAVES_IN(IN_W),
              [IN_X + 1] = SAVES_IN(IN_W),
              [IN_X + 2] = SAVES_IN(IN_W),
              [IN_X + 3] = SAVES_IN(IN_W)},
    .options = options,
    .options_bytes = sizeof(ConvOptions),
    .shape = shape,
    .cost = cost,
    .terms = terms,
    .reference = {.forward = forward, .backward = backward},
};
