/* Sine position encoding (DETR, in 3D). No inputs; y (D*H*W, E). With F = E / 6 (whole), the
 * channels are, for the axes z, y, x in turn, sin and cos in pairs for f = 0 .. F-1:
 *   y[t, axis*2F + 2f] = sin(u / temperature^(f/F)), y[.. + 1] = cos(..), u = (i + .5)/size * 2 pi.
 * Channels beyond 6F are zero. */
#include "kernels/options.h"

#include <math.h>

static const Option options[] = {{"grid", OPTION_INTS, offsetof(SinePositionOptions, grid), 0, 1,
                                  4096, NULL, "1,1,1", "sizes D, H, W of the token grid"},
                                 {"width", OPTION_INT, offsetof(SinePositionOptions, width), 96, 1,
                                  1 << 16, NULL, NULL, "channels E"},
                                 {"temperature", OPTION_FLOAT,
                                  offsetof(SinePositionOptions, temperature), 10000, 1, 1e9, NULL,
                                  NULL, "ratio of the longest and the shortest wave"},
                                 {0}};

static bool shape(Call *call, Error *error) {
  const SinePositionOptions *o = call->options;
  if (o->grid.count != 3)
    return fail(error, "sine_position: grid has 3 numbers (D, H, W), found %d", o->grid.count);
  if (o->width < 6)
    return fail(error, "sine_position: width is at least 6 (sin and cos of 3 axes), found %d",
                o->width);
  int64_t dim[2] = {(int64_t)o->grid.v[0] * o->grid.v[1] * o->grid.v[2], o->width};
  call->out[0] = tensor_make(F32, 2, dim);
  return true;
}

static void forward(const Call *call) {
  const SinePositionOptions *o = call->options;
  const int *size = o->grid.v;
  int frequencies = o->width / 6;
  REAL *y = call->out[0].data;
  for (int64_t t = 0; t < tensor_rows(&call->out[0]); t++) {
    int64_t at[3] = {t / ((int64_t)size[1] * size[2]), t / size[2] % size[1], t % size[2]};
    REAL *row = y + t * o->width;
    for (int c = 6 * frequencies; c < o->width; c++) row[c] = 0;
    for (int c = 0; c < 3 * frequencies; c++) {
      int a = c / frequencies, f = c % frequencies;
      double u = ((double)at[a] + .5) / size[a] * 2 * M_PI;
      double phase = u / pow(o->temperature, (double)f / frequencies);
      row[2 * c] = (REAL)sin(phase);
      row[2 * c + 1] = (REAL)cos(phase);
    }
  }
}

const Op OP_ROW(sine_position) = {
    .name = "sine_position",
    .doc = "sine position encoding of a 3D token grid",
    .min_in = 0,
    .max_in = 0,
    .n_out = 1,
    .flags = OP_NO_GRADIENT | OP_CONSTANT,
    .options = options,
    .options_bytes = sizeof(SinePositionOptions),
    .shape = shape,
    .reference = {.forward = forward},
};
