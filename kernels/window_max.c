/* Maximum over the window around each voxel, stride 1, the size stays: what lies outside the map
 * counts for nothing. x (N, D, H, W, C), odd windows:
 *   y[n,d,h,w,c] = max of x[n, d - (kd-1)/2 .., h - (kh-1)/2 .., w - (kw-1)/2 .., c]
 * The gradient goes to the first maximum in memory order; windows overlap, so gradients add. YOLO's
 * SPPF is three of {1,5,5} in a row. Bound by memory. */
#include "kernels/window.h"

#include <string.h>

static const Option options[] = {{"size", OPTION_INTS, offsetof(WindowMaxOptions, size), 0, 1, 63,
                                  NULL, "1,5,5", "window along D, H, W, odd"},
                                 {0}};

static bool shape(Call *call, Error *error) {
  const WindowMaxOptions *o = call->options;
  const Tensor *x = &call->in[0];
  if (x->rank != 5)
    return fail(error, "window_max: input has 5 axes (N, D, H, W, C), found %s",
                tensor_shape_text(x));
  if (o->size.count != 3)
    return fail(error, "window_max: size has 3 numbers (D, H, W), found %d", o->size.count);
  for (int a = 0; a < 3; a++)
    if (o->size.v[a] % 2 == 0)
      return fail(error,
                  "window_max: along %c the window is odd, so that it has a middle; found %d",
                  "DHW"[a], o -> size.v[a]);
  call->out[0] = *x;
  return true;
}

/* The row of the first maximum of channel c in the window. */
static int64_t first_maximum(const REAL *x, const Window *window, int64_t channels, int64_t c) {
  int64_t best = window_row(window, 0);
  for (int64_t t = 1; t < window_voxels(window); t++) {
    int64_t row = window_row(window, t);
    if (x[row * channels + c] > x[best * channels + c]) best = row;
  }
  return best;
}

static void forward(const Call *call) {
  const REAL *x = call->in[0].data;
  REAL *y = call->out[0].data;
  int64_t channels = tensor_last(&call->in[0]);
  for (int64_t row = 0; row < tensor_rows(&call->in[0]); row++) {
    Window window = window_at(call, row);
    for (int64_t c = 0; c < channels; c++)
      y[row * channels + c] = x[first_maximum(x, &window, channels, c) * channels + c];
  }
}

static void backward(const Call *call) {
  const REAL *x = call->in[0].data, *dy = call->dout[0].data;
  REAL *dx = call->din[0].data;
  int64_t channels = tensor_last(&call->in[0]);
  if (!dx) return;
  memset(dx, 0, tensor_bytes(&call->in[0]));
  for (int64_t row = 0; row < tensor_rows(&call->in[0]); row++) {
    Window window = window_at(call, row);
    for (int64_t c = 0; c < channels; c++)
      dx[first_maximum(x, &window, channels, c) * channels + c] += dy[row * channels + c];
  }
}

const Op OP_ROW(window_max) = {
    .name = "window_max",
    .doc = "maximum over the window around each voxel, stride 1; the gradient goes to the first",
    .min_in = 1,
    .max_in = 1,
    .n_out = 1,
    .saves = {SAVES_IN(0)},
    .options = options,
    .options_bytes = sizeof(WindowMaxOptions),
    .shape = shape,
    .reference = {.forward = forward, .backward = backward},
};
