/* A map put into a larger one of zeros: y[before + stride i] = x[i] along each of D, H, W. Planes
 * of zeros in front or behind (stride 1), or zeros between voxels. x (N, D, H, W, C) to (N, size,
 * C). The gradient gathers. Bound by memory. */
#include "kernels/place.h"

#include <string.h>

static const Option options[] = {{"size", OPTION_INTS, offsetof(PlaceOptions, size), 0, 1, 4096,
                                  NULL, "1,1,1", "output sizes D, H, W"},
                                 {"before", OPTION_INTS, offsetof(PlaceOptions, before), 0, 0, 4096,
                                  NULL, "0,0,0", "where the first voxel goes"},
                                 {"stride", OPTION_INTS, offsetof(PlaceOptions, stride), 0, 1, 64,
                                  NULL, "1,1,1", "from one voxel to the next"},
                                 {0}};

static bool shape(Call *call, Error *error) {
  const PlaceOptions *o = call->options;
  const Tensor *x = &call->in[0];
  if (x->rank != 5)
    return fail(error, "place: input has 5 axes (N, D, H, W, C), found %s", tensor_shape_text(x));
  if (o->size.count != 3 || o->before.count != 3 || o->stride.count != 3)
    return fail(error,
                "place: size, before and stride have 3 numbers each (D, H, W), found %d, %d "
                "and %d",
                o->size.count, o->before.count, o->stride.count);
  call->out[0] = tensor_make(x->type, 5, x->dim);
  for (int a = 0; a < 3; a++) {
    int64_t last = o->before.v[a] + o->stride.v[a] * (x->dim[1 + a] - 1);
    if (last >= o->size.v[a])
      return fail(error, "place: input %s, axis %c reaches to %lld, beyond size %d",
                  tensor_shape_text(x), "DHW"[a], (long long)last, o -> size.v[a]);
    call->out[0].dim[1 + a] = o->size.v[a];
  }
  return true;
}

/* The output row of input row `row`. */
static int64_t target(const Call *call, int64_t row) {
  const PlaceOptions *o = call->options;
  const int64_t *in = call->in[0].dim, *out = call->out[0].dim;
  int64_t at[3] = {row / (in[2] * in[3]) % in[1], row / in[3] % in[2], row % in[3]};
  int64_t to = row / (in[1] * in[2] * in[3]);
  for (int a = 0; a < 3; a++) to = to * out[1 + a] + o->before.v[a] + o->stride.v[a] * at[a];
  return to;
}

static void forward(const Call *call) {
  const REAL *x = call->in[0].data;
  REAL *y = call->out[0].data;
  int64_t channels = tensor_last(&call->in[0]);
  memset(y, 0, tensor_bytes(&call->out[0]));
  for (int64_t row = 0; row < tensor_rows(&call->in[0]); row++)
    memcpy(y + target(call, row) * channels, x + row * channels, (size_t)channels * sizeof *y);
}

static void backward(const Call *call) {
  const REAL *dy = call->dout[0].data;
  REAL *dx = call->din[0].data;
  int64_t channels = tensor_last(&call->in[0]);
  for (int64_t row = 0; dx && row < tensor_rows(&call->in[0]); row++)
    memcpy(dx + row * channels, dy + target(call, row) * channels, (size_t)channels * sizeof *dx);
}

const Op OP_ROW(place) = {
    .name = "place",
    .doc = "a map in a larger one of zeros, its voxels apart if wanted",
    .min_in = 1,
    .max_in = 1,
    .n_out = 1,
    .options = options,
    .options_bytes = sizeof(PlaceOptions),
    .shape = shape,
    .reference = {.forward = forward, .backward = backward},
};
