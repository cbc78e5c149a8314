/* The boxes that a network asks for, and their mean with those of masks (options.h: box): of slice
 * d of query q, with (l_x, l_y) = u[n, d, 0, :, q] and (p_x, p_y) = u[n, d, 1, :, q],
 *   b = (l_x, l_y, l_x + (1 - l_x) p_x, l_y + (1 - l_y) p_y),
 *   y = (1 - weight) b + weight mask box. */
#include "kernels/options.h"

static const Option options[] = {{"weight", OPTION_FLOAT, offsetof(BoxOptions, weight), .5, 0, 1,
                                  NULL, NULL, "share of the mask's box, where there is one"},
                                 {0}};

enum { IN_SHARES, IN_MASK_BOXES };

static bool shape(Call *call, Error *error) {
  const Tensor *u = &call->in[IN_SHARES], *mask = &call->in[IN_MASK_BOXES];
  if (u->rank != 5 || u->dim[2] != 2 || u->dim[3] != 2)
    return fail(error, "box: shares are (N, D, 2, 2, K), found %s", tensor_shape_text(u));
  call->out[0] = tensor_make(u->type, 3, (int64_t[]){u->dim[0] * u->dim[4], u->dim[1], 4});
  bool same = call->n_in < 2 || tensor_absent(mask) || mask->rank == 3;
  for (int a = 0; a < 3 && call->n_in > 1 && !tensor_absent(mask); a++)
    same = same && mask->dim[a] == call->out[0].dim[a];
  return same ||
         fail(error, "box: boxes of masks are %s for shares %s, found %s",
              tensor_shape_text(&call->out[0]), tensor_shape_text(u), tensor_shape_text(mask));
}

static double own_weight(const Call *call) {
  return input_data(call, IN_MASK_BOXES) ? 1 - ((const BoxOptions *)call->options)->weight : 1;
}

/* Share `row` (0: l, 1: p) along `axis` (0: x, 1: y) of box i = (n K + q) D + d. */
static int64_t share_of(const Call *call, int64_t i, int row, int axis) {
  const int64_t *dim = call->in[IN_SHARES].dim;
  int64_t d = i % dim[1], q = i / dim[1] % dim[4], n = i / dim[1] / dim[4];
  return ((n * dim[1] + d) * 4 + 2 * row + axis) * dim[4] + q;
}

static void forward(const Call *call) {
  const REAL *u = call->in[IN_SHARES].data, *mask = input_data(call, IN_MASK_BOXES);
  REAL *y = call->out[0].data;
  double own = own_weight(call);
  for (int64_t i = 0; i < tensor_rows(&call->out[0]); i++)
    for (int axis = 0; axis < 2; axis++) {
      double l = u[share_of(call, i, 0, axis)], p = u[share_of(call, i, 1, axis)];
      int64_t first = 4 * i + axis, last = first + 2;
      y[first] = (REAL)(own * l + (mask ? (1 - own) * mask[first] : 0));
      y[last] = (REAL)(own * (l + (1 - l) * p) + (mask ? (1 - own) * mask[last] : 0));
    }
}

static void backward(const Call *call) {
  const REAL *u = call->in[IN_SHARES].data, *dy = call->dout[0].data;
  REAL *du = call->din[IN_SHARES].data, *dmask = call->din[IN_MASK_BOXES].data;
  double weight = ((const BoxOptions *)call->options)->weight;
  bool with_mask = call->n_in > 1 && !tensor_absent(&call->in[IN_MASK_BOXES]);
  double own = with_mask ? 1 - weight : 1;
  for (int64_t i = 0; i < tensor_rows(&call->out[0]); i++)
    for (int axis = 0; du && axis < 2; axis++) {
      int64_t left = share_of(call, i, 0, axis), part = share_of(call, i, 1, axis);
      double l = u[left], p = u[part], first = dy[4 * i + axis], last = dy[4 * i + axis + 2];
      du[left] = (REAL)(own * (first + last * (1 - p)));
      du[part] = (REAL)(own * last * (1 - l));
    }
  for (int64_t i = 0; dmask && i < tensor_count(&call->out[0]); i++)
    dmask[i] = (REAL)(weight * dy[i]);
}

const Op OP_ROW(box) = {
    .name = "box",
    .doc = "boxes out of shares of the plane, and their mean with boxes of masks",
    .min_in = 1,
    .max_in = 2,
    .n_out = 1,
    .saves = {[IN_SHARES] = SAVES_IN(IN_SHARES)},
    .optional = SAVES_IN(IN_MASK_BOXES),
    .options = options,
    .options_bytes = sizeof(BoxOptions),
    .shape = shape,
    .reference = {.forward = forward, .backward = backward},
};
