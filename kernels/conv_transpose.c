/* Transposed 3D convolution whose kernel is its stride, channels last:
 *   y[n, d*sd+i, h*sh+j, w*sw+k, o] = b[o] + sum_c x[n,d,h,w,c] w[c,i,j,k,o]
 * so that every output voxel has exactly one source voxel: a GEMM (N*D*H*W, Cin) x (Cin, taps*Cout)
 * and a reordering. Cost 2 N D H W Cin sd sh sw Cout FLOP. */
#include "kernels/options.h"

#include <string.h>

static const Option options[] = {{"stride", OPTION_INTS, offsetof(ConvTransposeOptions, stride), 0,
                                  1, 16, NULL, "2,2,2", "stride and kernel along D, H, W"},
                                 {0}};

enum { IN_W, IN_B, IN_X };

static bool shape(Call *call, Error *error) {
  const ConvTransposeOptions *o = call->options;
  const Tensor *w = &call->in[IN_W], *b = &call->in[IN_B], *x = &call->in[IN_X];
  if (w->rank != 5 || x->rank != 5)
    return fail(error, "conv_transpose: weight and input have 5 axes, found %s and %s",
                tensor_shape_text(w), tensor_shape_text(x));
  if (o->stride.count != 3)
    return fail(error, "conv_transpose: stride has 3 numbers, found %d", o->stride.count);
  for (int a = 0; a < 3; a++)
    if (w->dim[1 + a] != o->stride.v[a])
      return fail(error, "conv_transpose: weight %s is not as large as the stride %d,%d,%d",
                  tensor_shape_text(w), o->stride.v[0], o->stride.v[1], o->stride.v[2]);
  if (w->dim[0] != x->dim[4])
    return fail(error, "conv_transpose: weight %s expects %lld channels, the input is %s",
                tensor_shape_text(w), (long long)w->dim[0], tensor_shape_text(x));
  if (!tensor_absent(b) && (b->rank != 1 || b->dim[0] != w->dim[4]))
    return fail(error, "conv_transpose: bias is (%lld), found %s", (long long)w->dim[4],
                tensor_shape_text(b));
  int64_t dim[5] = {x->dim[0], x->dim[1] * o->stride.v[0], x->dim[2] * o->stride.v[1],
                    x->dim[3] * o->stride.v[2], w->dim[4]};
  call->out[0] = tensor_make(x->type, 5, dim);
  return true;
}

static void cost(const Call *call, Cost *cost) {
  const Tensor *w = &call->in[IN_W], *x = &call->in[IN_X];
  double forward = 2.0 * (double)tensor_rows(x) * (double)tensor_count(w);
  cost->flops = call->backward ? 2 * forward : forward;
}

static int64_t terms(const Call *call, int gradient) {
  const Tensor *w = &call->in[IN_W];
  if (gradient < 0) return w->dim[0];
  if (gradient == IN_X) return tensor_count(w) / w->dim[0];
  return tensor_rows(gradient == IN_W ? &call->in[IN_X] : &call->out[0]);
}

/* Where an output row (voxel) comes from: the input's row and the kernel's tap. */
typedef struct Source {
  int64_t row, tap;
} Source;

static Source source_of(const Call *call, int64_t out_row) {
  const int *stride = ((const ConvTransposeOptions *)call->options)->stride.v;
  const int64_t *out = call->out[0].dim, *in = call->in[IN_X].dim;
  int64_t at[4] = {out_row / (out[1] * out[2] * out[3]), out_row / (out[2] * out[3]) % out[1],
                   out_row / out[3] % out[2], out_row % out[3]};
  Source source = {at[0], 0};
  for (int a = 0; a < 3; a++) {
    source.row = source.row * in[1 + a] + at[1 + a] / stride[a];
    source.tap = source.tap * stride[a] + at[1 + a] % stride[a];
  }
  return source;
}

static void forward(const Call *call) {
  const REAL *w = call->in[IN_W].data, *b = input_data(call, IN_B), *x = call->in[IN_X].data;
  REAL *y = call->out[0].data;
  int64_t channels = call->in[IN_X].dim[4], outs = call->out[0].dim[4];
  int64_t taps = tensor_count(&call->in[IN_W]) / (channels * outs);
  for (int64_t row = 0; row < tensor_rows(&call->out[0]); row++) {
    Source source = source_of(call, row);
    for (int64_t o = 0; o < outs; o++) {
      double sum = b ? b[o] : 0;
      for (int64_t c = 0; c < channels; c++)
        sum += (double)x[source.row * channels + c] * w[(c * taps + source.tap) * outs + o];
      y[row * outs + o] = (REAL)sum;
    }
  }
}

static void backward(const Call *call) {
  const REAL *w = call->in[IN_W].data, *x = call->in[IN_X].data, *dy = call->dout[0].data;
  REAL *dw = call->din[IN_W].data, *db = call->din[IN_B].data, *dx = call->din[IN_X].data;
  int64_t channels = call->in[IN_X].dim[4], outs = call->out[0].dim[4];
  int64_t taps = tensor_count(&call->in[IN_W]) / (channels * outs);
  for (int i = 0; i < call->n_in; i++)
    if (call->din[i].data) memset(call->din[i].data, 0, tensor_bytes(&call->din[i]));
  for (int64_t row = 0; row < tensor_rows(&call->out[0]); row++, dy += outs) {
    Source source = source_of(call, row);
    for (int64_t o = 0; db && o < outs; o++) db[o] += dy[o];
    for (int64_t c = 0; c < channels; c++) {
      int64_t weight = (c * taps + source.tap) * outs;
      double sum = 0;
      for (int64_t o = 0; dx && o < outs; o++) sum += (double)dy[o] * w[weight + o];
      if (dx) dx[source.row * channels + c] += (REAL)sum;
      for (int64_t o = 0; dw && o < outs; o++)
        dw[weight + o] += x[source.row * channels + c] * dy[o];
    }
  }
}

const Op OP_ROW(conv_transpose) = {
    .name = "conv_transpose",
    .doc = "transposed 3D convolution with kernel = stride (nnU-Net's upsampling)",
    .min_in = 3,
    .max_in = 3,
    .n_out = 1,
    .flags = OP_UNORDERED,
    .optional = SAVES_IN(IN_B),
    .saves = {[IN_W] = SAVES_IN(IN_X), [IN_X] = SAVES_IN(IN_W)},
    .options = options,
    .options_bytes = sizeof(ConvTransposeOptions),
    .shape = shape,
    .cost = cost,
    .terms = terms,
    .reference = {.forward = forward, .backward = backward},
};
