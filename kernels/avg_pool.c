/* Average over windows of factor voxels, window = stride. x (N, D, H, W, C), the axes divide:
 *   y[n,d,h,w,c] = mean of x[n, d*fd.., h*fh.., w*fw.., c]. Bound by memory. */
#include "kernels/pool.h"

static void forward(const Call *call) {
  const REAL *x = call->in[0].data;
  REAL *y = call->out[0].data;
  int64_t channels = tensor_last(&call->in[0]), taps = pool_taps(call);
  for (int64_t row = 0; row < tensor_rows(&call->out[0]); row++)
    for (int64_t c = 0; c < channels; c++) {
      double sum = 0;
      for (int64_t t = 0; t < taps; t++) sum += x[pool_source(call, row, t) * channels + c];
      y[row * channels + c] = (REAL)(sum / (double)taps);
    }
}

static void backward(const Call *call) {
  const REAL *dy = call->dout[0].data;
  REAL *dx = call->din[0].data;
  int64_t channels = tensor_last(&call->in[0]), taps = pool_taps(call);
  if (!dx) return;
  for (int64_t row = 0; row < tensor_rows(&call->out[0]); row++)
    for (int64_t t = 0; t < taps; t++)
      for (int64_t c = 0; c < channels; c++)
        dx[pool_source(call, row, t) * channels + c] = dy[row * channels + c] / (REAL)taps;
}

const Op OP_ROW(avg_pool) = {
    .name = "avg_pool",
    .doc = "average pooling, window = stride",
    .min_in = 1,
    .max_in = 1,
    .n_out = 1,
    .options = pool_options,
    .options_bytes = sizeof(PoolOptions),
    .shape = pool_shape,
    .reference = {.forward = forward, .backward = backward},
};
