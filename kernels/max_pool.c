/* Maximum over windows of factor voxels, window = stride. x (N, D, H, W, C), the axes divide:
 *   y[n,d,h,w,c] = max of x[n, d*fd.., h*fh.., w*fw.., c]. The gradient goes to the first maximum
 * in memory order. */
#include "kernels/options.h"
#include "kernels/pool.h"

#include <string.h>

static const Option options[] = {{"factor", OPTION_INTS, offsetof(PoolOptions, factor), 0, 1, 64,
                                  NULL, "2,2,2", "window and stride along D, H, W"},
                                 {0}};

static bool shape(Call *call, Error *error) {
  const PoolOptions *o = call->options;
  const Tensor *x = &call->in[0];
  if (x->rank != 5)
    return fail(error, "max_pool: input has 5 axes (N, D, H, W, C), found %s",
                tensor_shape_text(x));
  int64_t dim[MAX_RANK];
  if (!pool_shape("max_pool", &o->factor, x, dim, error)) return false;
  call->out[0] = tensor_make(x->type, 5, dim);
  return true;
}

/* Row of the input voxel at `tap` of the window of output row `row`. */
static int64_t source_row(const Call *call, int64_t row, int64_t tap) {
  const int *f = ((const PoolOptions *)call->options)->factor.v;
  const int64_t *in = call->in[0].dim, *out = call->out[0].dim;
  int64_t z = row / (out[2] * out[3]) % out[1] * f[0] + tap / (f[1] * f[2]);
  int64_t y = row / out[3] % out[2] * f[1] + tap / f[2] % f[1];
  int64_t x = row % out[3] * f[2] + tap % f[2];
  int64_t n = row / (out[1] * out[2] * out[3]);
  return ((n * in[1] + z) * in[2] + y) * in[3] + x;
}

static int64_t taps_count(const Call *call) {
  const int *f = ((const PoolOptions *)call->options)->factor.v;
  return (int64_t)f[0] * f[1] * f[2];
}

/* Input row of the first maximum of channel c in the window of output row `row`. */
static int64_t first_maximum(const Call *call, int64_t row, int64_t c) {
  const REAL *x = call->in[0].data;
  int64_t channels = tensor_last(&call->in[0]), best = source_row(call, row, 0);
  for (int64_t t = 1; t < taps_count(call); t++) {
    int64_t other = source_row(call, row, t);
    if (x[other * channels + c] > x[best * channels + c]) best = other;
  }
  return best;
}

static void forward(const Call *call) {
  const REAL *x = call->in[0].data;
  REAL *y = call->out[0].data;
  int64_t channels = tensor_last(&call->in[0]);
  for (int64_t row = 0; row < tensor_rows(&call->out[0]); row++, y += channels) {
    memcpy(y, x + source_row(call, row, 0) * channels, (size_t)channels * sizeof *y);
    for (int64_t t = 1; t < taps_count(call); t++) {
      const REAL *other = x + source_row(call, row, t) * channels;
      for (int64_t c = 0; c < channels; c++) y[c] = other[c] > y[c] ? other[c] : y[c];
    }
  }
}

static void backward(const Call *call) {
  const REAL *dy = call->dout[0].data;
  REAL *dx = call->din[0].data;
  int64_t channels = tensor_last(&call->in[0]);
  if (!dx) return;
  memset(dx, 0, tensor_bytes(&call->in[0]));
  for (int64_t row = 0; row < tensor_rows(&call->out[0]); row++)
    for (int64_t c = 0; c < channels; c++)
      dx[first_maximum(call, row, c) * channels + c] = dy[row * channels + c];
}

const Op OP_ROW(max_pool) = {
    .name = "max_pool",
    .doc = "maximum pooling, window = stride; the gradient goes to the first maximum",
    .min_in = 1,
    .max_in = 1,
    .n_out = 1,
    .saves = SAVES_IN(0),
    .options = options,
    .options_bytes = sizeof(PoolOptions),
    .shape = shape,
    .reference = {.forward = forward, .backward = backward},
};
