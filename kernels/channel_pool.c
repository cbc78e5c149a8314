/* Mean and maximum over the channels of each voxel or token: x (..., C) to (..., 2), what spatial
 * attention looks at (CBAM, Woo et al. 2018; QTSeg III-B). The gradient of the maximum goes to the
 * first one:
 *   dx[c] = dmean / C + dmax [c = first maximum]. Bound by memory. */
#include "kernels/options.h"

enum { OUT_MEAN, OUT_MAX, POOLED };

static bool shape(Call *call, Error *error) {
  const Tensor *x = &call->in[0];
  if (x->rank < 2)
    return fail(error, "channel_pool: input has 2 axes (..., C) or more, found %s",
                tensor_shape_text(x));
  call->out[0] = *x;
  call->out[0].dim[x->rank - 1] = POOLED;
  return true;
}

static int64_t first_maximum(const REAL *x, int64_t channels) {
  int64_t best = 0;
  for (int64_t c = 1; c < channels; c++)
    if (x[c] > x[best]) best = c;
  return best;
}

static void forward(const Call *call) {
  int64_t channels = tensor_last(&call->in[0]);
  for (int64_t row = 0; row < tensor_rows(&call->in[0]); row++) {
    const REAL *x = (const REAL *)call->in[0].data + row * channels;
    REAL *y = (REAL *)call->out[0].data + row * POOLED;
    double sum = 0;
    for (int64_t c = 0; c < channels; c++) sum += x[c];
    y[OUT_MEAN] = (REAL)(sum / (double)channels);
    y[OUT_MAX] = x[first_maximum(x, channels)];
  }
}

static void backward(const Call *call) {
  int64_t channels = tensor_last(&call->in[0]);
  if (!call->din[0].data) return;
  for (int64_t row = 0; row < tensor_rows(&call->in[0]); row++) {
    const REAL *x = (const REAL *)call->in[0].data + row * channels;
    const REAL *dy = (const REAL *)call->dout[0].data + row * POOLED;
    REAL *dx = (REAL *)call->din[0].data + row * channels;
    for (int64_t c = 0; c < channels; c++) dx[c] = dy[OUT_MEAN] / (REAL)channels;
    dx[first_maximum(x, channels)] += dy[OUT_MAX];
  }
}

const Op OP_ROW(channel_pool) = {
    .name = "channel_pool",
    .doc = "mean and maximum over the channels, as two",
    .min_in = 1,
    .max_in = 1,
    .n_out = 1,
    .saves = {SAVES_IN(0)},
    .shape = shape,
    .reference = {.forward = forward, .backward = backward},
};
