/* Resize of x (N, D, H, W, C) to (N, size, C); 2D is D = 1. Bound by memory.
 *   linear (align_corners false, as PyTorch's interpolate): along each axis output i reads at
 *     max(0, (i + .5) in/out - .5), between the voxel below and the one above, clamped at the end.
 *   nearest (PyTorch's mode of that name, not "nearest-exact"): output i reads voxel
 *     floor(i in/out), in whole numbers; PyTorch multiplies by in/out in float, which at some sizes
 *     (2 to 82) falls just short of the next voxel. */
#include "kernels/cells.h"
#include "kernels/options.h"

#include <string.h>

static const Option options[] = {{"size", OPTION_INTS, offsetof(ResizeOptions, size), 0, 1, 4096,
                                  NULL, "1,1,1", "output sizes D, H, W"},
                                 {"mode", OPTION_CHOICE, offsetof(ResizeOptions, mode),
                                  RESIZE_LINEAR, 0, 1, "linear|nearest", NULL,
                                  "between voxels, or the one at floor(i in/out)"},
                                 {0}};

static bool shape(Call *call, Error *error) {
  const ResizeOptions *o = call->options;
  const Tensor *x = &call->in[0];
  if (x->rank != 5)
    return fail(error, "resize: input has 5 axes (N, D, H, W, C), found %s", tensor_shape_text(x));
  if (o->size.count != 3)
    return fail(error, "resize: size has 3 numbers (D, H, W), found %d", o->size.count);
  call->out[0] = tensor_make(x->type, 5, x->dim);
  for (int a = 0; a < 3; a++) call->out[0].dim[1 + a] = o->size.v[a];
  return true;
}

/* Forward at most eight voxels of x are read for each of y, or one: where it gets much smaller, not
 * all. */
static void cost(const Call *call, Cost *cost) {
  const Tensor *x = &call->in[0], *y = &call->out[0];
  double corners = resize_is_nearest(call) ? 1 : 8;
  double all = (double)tensor_count(x), read = corners * (double)tensor_count(y);
  cost->flops = 2 * read;
  if (corners < 2) cost->flops = call->backward ? (double)tensor_count(y) : 0;
  if (!call->backward)
    cost->bytes =
        (read < all ? read : all) * (double)dtype_bytes(x->type) + (double)tensor_bytes(y);
}

/* Rows and weights of the 8 input voxels of output row `row`. */
static void corners(const Call *call, int64_t row, int64_t in_row[8], double weight[8]) {
  const int64_t *in = call->in[0].dim, *out = call->out[0].dim;
  int64_t at[3] = {row / (out[2] * out[3]) % out[1], row / out[3] % out[2], row % out[3]};
  int64_t n = row / (out[1] * out[2] * out[3]), near[3][2];
  double share[3][2];
  for (int a = 0; a < 3; a++) linear_source(at[a], in[1 + a], out[1 + a], near[a], share[a]);
  for (int k = 0; k < 8; k++) {
    int z = k >> 2, y = k >> 1 & 1, x = k & 1;
    in_row[k] = ((n * in[1] + near[0][z]) * in[2] + near[1][y]) * in[3] + near[2][x];
    weight[k] = share[0][z] * share[1][y] * share[2][x];
  }
}

/* nearest: the row of the input voxel of output row `row`. */
static int64_t source(const Call *call, int64_t row) {
  const int64_t *in = call->in[0].dim, *out = call->out[0].dim;
  int64_t z = nearest_source(row / (out[2] * out[3]) % out[1], in[1], out[1]);
  int64_t y = nearest_source(row / out[3] % out[2], in[2], out[2]);
  int64_t x = nearest_source(row % out[3], in[3], out[3]);
  return ((row / (out[1] * out[2] * out[3]) * in[1] + z) * in[2] + y) * in[3] + x;
}

static void nearest_forward(const Call *call) {
  const REAL *x = call->in[0].data;
  REAL *y = call->out[0].data;
  int64_t channels = tensor_last(&call->in[0]);
  for (int64_t row = 0; row < tensor_rows(&call->out[0]); row++)
    memcpy(y + row * channels, x + source(call, row) * channels, (size_t)channels * sizeof *y);
}

static void nearest_backward(const Call *call) {
  const REAL *dy = call->dout[0].data;
  REAL *dx = call->din[0].data;
  int64_t channels = tensor_last(&call->in[0]);
  for (int64_t row = 0; row < tensor_rows(&call->out[0]); row++)
    for (int64_t c = 0; c < channels; c++)
      dx[source(call, row) * channels + c] += dy[row * channels + c];
}

static void forward(const Call *call) {
  const REAL *x = call->in[0].data;
  REAL *y = call->out[0].data;
  int64_t channels = tensor_last(&call->in[0]), in_row[8];
  double weight[8];
  if (resize_is_nearest(call)) {
    nearest_forward(call);
    return;
  }
  for (int64_t row = 0; row < tensor_rows(&call->out[0]); row++) {
    corners(call, row, in_row, weight);
    for (int64_t c = 0; c < channels; c++) {
      double sum = 0;
      for (int k = 0; k < 8; k++) sum += weight[k] * x[in_row[k] * channels + c];
      y[row * channels + c] = (REAL)sum;
    }
  }
}

static void backward(const Call *call) {
  const REAL *dy = call->dout[0].data;
  REAL *dx = call->din[0].data;
  int64_t channels = tensor_last(&call->in[0]), in_row[8];
  double weight[8];
  if (!dx) return;
  memset(dx, 0, tensor_bytes(&call->in[0]));
  if (resize_is_nearest(call)) {
    nearest_backward(call);
    return;
  }
  for (int64_t row = 0; row < tensor_rows(&call->out[0]); row++) {
    corners(call, row, in_row, weight);
    for (int k = 0; k < 8; k++)
      for (int64_t c = 0; c < channels; c++)
        dx[in_row[k] * channels + c] += (REAL)(weight[k] * dy[row * channels + c]);
  }
}

const Op OP_ROW(resize) = {
    .name = "resize",
    .doc = "trilinear or nearest resize to any size",
    .min_in = 1,
    .max_in = 1,
    .n_out = 1,
    .options = options,
    .options_bytes = sizeof(ResizeOptions),
    .shape = shape,
    .cost = cost,
    .reference = {.forward = forward, .backward = backward},
};
