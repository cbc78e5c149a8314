/* 3D convolution in groups of channels, channels last. With Cg = Cin / groups and the group g(o) =
 * o groups / Cout of an output:
 *   y[n,u,o] = b[o] + sum_{t,c} w[o,t,c] x[n, u s + t - p, g(o) Cg + c]         along D, H, W
 * transposed:
 *   y[n,u,o] = b[o] + sum_{i,t: i s + t - p = u} sum_c w[o,t,c] x[n, i, g(o) Cg + c]
 * with p = (k-1)/2 and zeros outside. Depthwise: groups = Cin = Cout. A side of n voxels becomes
 * (n + 2p - k) / s + 1; transposed, s (n - 1) + k - 2p: for odd k s (n - 1) + 1, as PyTorch's with
 * padding p and no output padding. Cost 2 (voxels of the smaller side) taps Cout Cg FLOP. */
#include "kernels/bias_rows.h"
#include "kernels/options.h"

#include <string.h>

static const Option options[] = {
    {"stride", OPTION_INTS, offsetof(GroupedConvOptions, stride), 0, 1, 16, NULL, "1,1,1",
     "stride along D, H, W"},
    {"groups", OPTION_INT, offsetof(GroupedConvOptions, groups), 1, 1, 65536, NULL, NULL,
     "groups of channels that do not mix; as many as channels: depthwise"},
    {"transposed", OPTION_BOOL, offsetof(GroupedConvOptions, transposed), 0, 0, 1, NULL, NULL,
     "the transposed convolution, which a stride makes larger"},
    {0}};

enum { IN_W, IN_B, IN_X };

static bool side(Call *call, int a, Error *error) {
  const GroupedConvOptions *o = call->options;
  const Tensor *w = &call->in[IN_W], *x = &call->in[IN_X];
  int64_t k = w->dim[a], n = x->dim[a], rest = n + 2 * ((k - 1) / 2) - k, s = o->stride.v[a - 1];
  if (!o->transposed && rest < 0)
    return fail(error, "grouped_conv: weight %s is larger than the input %s", tensor_shape_text(w),
                tensor_shape_text(x));
  call->out[0].dim[a] = o->transposed ? s * (n - 1) + k - 2 * ((k - 1) / 2) : rest / s + 1;
  return true;
}

static bool shape(Call *call, Error *error) {
  const GroupedConvOptions *o = call->options;
  const Tensor *w = &call->in[IN_W], *b = &call->in[IN_B], *x = &call->in[IN_X];
  if (w->rank != 5 || x->rank != 5)
    return fail(error, "grouped_conv: weight and input have 5 axes, found %s and %s",
                tensor_shape_text(w), tensor_shape_text(x));
  if (o->stride.count != 3)
    return fail(error, "grouped_conv: stride has 3 numbers, found %d", o->stride.count);
  if (w->dim[0] % o->groups || x->dim[4] % o->groups)
    return fail(error, "grouped_conv: %lld input and %lld output channels do not make %d groups",
                (long long)x->dim[4], (long long)w->dim[0], o->groups);
  if (w->dim[4] != x->dim[4] / o->groups)
    return fail(
        error, "grouped_conv: of %lld input channels in %d groups a weight has %lld, not %s",
        (long long)x->dim[4], o->groups, (long long)(x->dim[4] / o->groups), tensor_shape_text(w));
  if (!tensor_absent(b) && (b->rank != 1 || b->dim[0] != w->dim[0]))
    return fail(error, "grouped_conv: bias is (%lld), found %s", (long long)w->dim[0],
                tensor_shape_text(b));
  call->out[0] = tensor_make(x->type, 5, x->dim);
  call->out[0].dim[4] = w->dim[0];
  return side(call, 1, error) && side(call, 2, error) && side(call, 3, error);
}

static void cost(const Call *call, Cost *cost) {
  GroupedSides sides = grouped_sides(call);
  double forward = 2.0 * (double)tensor_rows(&sides.small) * (double)tensor_count(&call->in[IN_W]);
  cost->flops = call->backward ? 2 * forward : forward;
}

static int64_t terms(const Call *call, int gradient) {
  const GroupedConvOptions *o = call->options;
  const Tensor *w = &call->in[IN_W];
  GroupedSides sides = grouped_sides(call);
  int64_t taps = w->dim[1] * w->dim[2] * w->dim[3];
  if (gradient < 0) return taps * w->dim[4];
  if (gradient == IN_X) return taps * w->dim[0] / o->groups;
  return tensor_rows(gradient == IN_W ? &sides.small : &call->out[0]);
}

/* Walks all pairs of voxels that a tap joins, as rows of x and y. */
typedef void Tap(const Call *call, int64_t out_row, int64_t in_row, int64_t tap);

static void walk(const Call *call, Tap *join) {
  const GroupedConvOptions *o = call->options;
  GroupedSides sides = grouped_sides(call);
  const int64_t *k = &call->in[IN_W].dim[1], *small = sides.small.dim, *big = sides.big.dim;
  for (int64_t row = 0; row < tensor_rows(&sides.small); row++) {
    int64_t at[4] = {row / (small[1] * small[2] * small[3]), row / (small[2] * small[3]) % small[1],
                     row / small[3] % small[2], row % small[3]};
    for (int64_t t = 0; t < k[0] * k[1] * k[2]; t++) {
      int64_t tap_at[3] = {t / (k[1] * k[2]), t / k[2] % k[1], t % k[2]};
      int64_t other = at[0];
      bool inside = true;
      for (int a = 0; a < 3; a++) {
        int64_t i = at[1 + a] * o->stride.v[a] + tap_at[a] - (k[a] - 1) / 2;
        inside = inside && i >= 0 && i < big[1 + a];
        other = other * big[1 + a] + i;
      }
      if (inside) join(call, o->transposed ? other : row, o->transposed ? row : other, t);
    }
  }
}

/* Of a call: channels in all, in a group of each side, and taps. */
typedef struct Widths {
  int64_t ins, outs, group_ins, group_outs, taps;
} Widths;

static Widths widths_of(const Call *call) {
  const Tensor *w = &call->in[IN_W];
  int64_t groups = ((const GroupedConvOptions *)call->options)->groups;
  return (Widths){w->dim[4] * groups, w->dim[0], w->dim[4], w->dim[0] / groups,
                  w->dim[1] * w->dim[2] * w->dim[3]};
}

static void tap_forward(const Call *call, int64_t out_row, int64_t in_row, int64_t tap) {
  Widths s = widths_of(call);
  const REAL *x = (const REAL *)call->in[IN_X].data + in_row * s.ins;
  REAL *y = (REAL *)call->out[0].data + out_row * s.outs;
  for (int64_t o = 0; o < s.outs; o++) {
    const REAL *w = (const REAL *)call->in[IN_W].data + (o * s.taps + tap) * s.group_ins;
    double sum = 0;
    for (int64_t c = 0; c < s.group_ins; c++)
      sum += (double)w[c] * x[o / s.group_outs * s.group_ins + c];
    y[o] += (REAL)sum;
  }
}

static void tap_backward(const Call *call, int64_t out_row, int64_t in_row, int64_t tap) {
  Widths s = widths_of(call);
  const REAL *dy = (const REAL *)call->dout[0].data + out_row * s.outs;
  const REAL *w = call->in[IN_W].data, *x = call->in[IN_X].data;
  REAL *dw = call->din[IN_W].data, *dx = call->din[IN_X].data;
  for (int64_t o = 0; o < s.outs; o++)
    for (int64_t c = 0; c < s.group_ins; c++) {
      int64_t weight = (o * s.taps + tap) * s.group_ins + c;
      int64_t input = in_row * s.ins + o / s.group_outs * s.group_ins + c;
      if (dx) dx[input] += dy[o] * w[weight];
      if (dw) dw[weight] += dy[o] * x[input];
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

const Op OP_ROW(grouped_conv) = {
    .name = "grouped_conv",
    .doc = "3D convolution in groups of channels, depthwise (MedNeXt, 3D UX-Net, TinyViT) or not, "
           "or its transposed form",
    .min_in = 3,
    .max_in = 3,
    .n_out = 1,
    .optional = SAVES_IN(IN_B),
    .saves = {[IN_W] = SAVES_IN(IN_X), [IN_X] = SAVES_IN(IN_W)},
    .options = options,
    .options_bytes = sizeof(GroupedConvOptions),
    .shape = shape,
    .cost = cost,
    .terms = terms,
    .reference = {.forward = forward, .backward = backward},
};
