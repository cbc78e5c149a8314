/* Maximum over windows of factor voxels, window = stride. x (N, D, H, W, C), the axes divide:
 *   y[n,d,h,w,c] = max of x[n, d*fd.., h*fh.., w*fw.., c]. The gradient goes to the first maximum
 * in memory order. */
#include "kernels/pool.h"

#include <string.h>

/* Input row of the first maximum of channel c in the window of output row `row`. */
static int64_t first_maximum(const Call *call, int64_t row, int64_t c) {
  const REAL *x = call->in[0].data;
  int64_t channels = tensor_last(&call->in[0]), best = pool_source(call, row, 0);
  for (int64_t t = 1; t < pool_taps(call); t++) {
    int64_t other = pool_source(call, row, t);
    if (x[other * channels + c] > x[best * channels + c]) best = other;
  }
  return best;
}

static void forward(const Call *call) {
  const REAL *x = call->in[0].data;
  REAL *y = call->out[0].data;
  int64_t channels = tensor_last(&call->in[0]);
  for (int64_t row = 0; row < tensor_rows(&call->out[0]); row++, y += channels) {
    memcpy(y, x + pool_source(call, row, 0) * channels, (size_t)channels * sizeof *y);
    for (int64_t t = 1; t < pool_taps(call); t++) {
      const REAL *other = x + pool_source(call, row, t) * channels;
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
    .saves = {SAVES_IN(0)},
    .options = pool_options,
    .options_bytes = sizeof(PoolOptions),
    .shape = pool_shape,
    .reference = {.forward = forward, .backward = backward},
};
