/* Labels at a coarser grid: y[n,i,j,k] = x[n, floor((i + .5) fd), floor((j + .5) fh),
 * floor((k + .5) fw)]. x (N, D, H, W) I32; the axes divide. The deep supervision's targets. */
#include "kernels/options.h"
#include "kernels/pool.h"

static const Option options[] = {{"factor", OPTION_INTS, offsetof(NearestLabelsOptions, factor), 0,
                                  1, 64, NULL, "2,2,2", "how much coarser along D, H, W"},
                                 {0}};

static bool shape(Call *call, Error *error) {
  const NearestLabelsOptions *o = call->options;
  const Tensor *x = &call->in[0];
  if (x->rank != 4 || x->type != I32)
    return fail(error, "nearest_labels: input is integer labels (N, D, H, W), found %s %s",
                x->type == I32 ? "integer" : "real", tensor_shape_text(x));
  int64_t dim[MAX_RANK];
  if (!pool_dims(call, &o->factor, dim, error)) return false;
  call->out[0] = tensor_make(I32, 4, dim);
  return true;
}

static void forward(const Call *call) {
  const int *f = ((const NearestLabelsOptions *)call->options)->factor.v;
  const int64_t *in = call->in[0].dim, *out = call->out[0].dim;
  const int32_t *x = call->in[0].data;
  int32_t *y = call->out[0].data;
  for (int64_t i = 0; i < tensor_count(&call->out[0]); i++) {
    int64_t n = i / (out[1] * out[2] * out[3]);
    int64_t d = i / (out[2] * out[3]) % out[1] * f[0] + f[0] / 2;
    int64_t h = i / out[3] % out[2] * f[1] + f[1] / 2;
    int64_t w = i % out[3] * f[2] + f[2] / 2;
    y[i] = x[((n * in[1] + d) * in[2] + h) * in[3] + w];
  }
}

/* One label is read for each that is written. */
static void cost(const Call *call, Cost *cost) {
  if (!call->backward) cost->bytes = 2 * (double)tensor_bytes(&call->out[0]);
}

const Op OP_ROW(nearest_labels) = {
    .name = "nearest_labels",
    .doc = "label map at a coarser grid, nearest voxel",
    .min_in = 1,
    .max_in = 1,
    .n_out = 1,
    .flags = OP_NO_GRADIENT,
    .constant = SAVES_IN(0),
    .options = options,
    .options_bytes = sizeof(NearestLabelsOptions),
    .shape = shape,
    .cost = cost,
    .reference = {.forward = forward},
};
