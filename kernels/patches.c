/* The voxels of a cell side by side as channels, in the order z, y, x, channel: x (N, D, H, W, C)
 * to (N, D/p0, H/p1, W/p2, p0 p1 p2 C); or, inverse, back again. With a linear layer behind it the
 * embedding of patches and their merging, with one before it their expansion. The gradient is the
 * other direction. Bound by memory. */
#include "kernels/patches.h"

#include <string.h>

static const Option options[] = {{"patch", OPTION_INTS, offsetof(PatchesOptions, patch), 0, 1, 64,
                                  NULL, "2,2,2", "voxels of a cell along D, H, W"},
                                 {"inverse", OPTION_BOOL, offsetof(PatchesOptions, inverse), 0, 0,
                                  1, NULL, NULL, "from cells to voxels"},
                                 {0}};

static bool shape(Call *call, Error *error) {
  const PatchesOptions *o = call->options;
  const Tensor *x = &call->in[0];
  const int *edge = o->patch.v;
  if (x->rank != 5)
    return fail(error, "patches: input has 5 axes (N, D, H, W, C), found %s", tensor_shape_text(x));
  if (o->patch.count != 3)
    return fail(error, "patches: patch has 3 numbers (D, H, W), found %d", o->patch.count);
  int64_t voxels = (int64_t)edge[0] * edge[1] * edge[2];
  if (o->inverse && x->dim[4] % voxels)
    return fail(error, "patches: %lld channels of %s are no %lld voxels of a cell",
                (long long)x->dim[4], tensor_shape_text(x), (long long)voxels);
  call->out[0] = tensor_make(x->type, 5, x->dim);
  int64_t *dim = call->out[0].dim;
  dim[4] = o->inverse ? dim[4] / voxels : dim[4] * voxels;
  for (int a = 0; a < 3; a++) {
    if (!o->inverse && dim[1 + a] % edge[a])
      return fail(error, "patches: input %s, axis %c has size %lld, which %d does not divide",
                  tensor_shape_text(x), "DHW"[a], (long long)dim[1 + a], edge[a]);
    dim[1 + a] = o->inverse ? dim[1 + a] * edge[a] : dim[1 + a] / edge[a];
  }
  return true;
}

/* One is the map, the other the cells. */
static void move(const Call *call, const Tensor *from, const Tensor *to, bool inverse) {
  PatchSizes s = patch_sizes(call, inverse ? to : from);
  size_t bytes = dtype_bytes(from->type) * (size_t)s.run;
  const char *source = from->data;
  char *target = to->data;
  for (int64_t line = 0; line < s.lines; line++)
    for (int64_t w = 0; w < s.cells[2]; w++) {
      int64_t map = line * s.cells[2] + w, cell = patch_run(s, line, w);
      memcpy(target + (size_t)(inverse ? map : cell) * bytes,
             source + (size_t)(inverse ? cell : map) * bytes, bytes);
    }
}

static bool is_inverse(const Call *call) {
  return ((const PatchesOptions *)call->options)->inverse;
}

static void forward(const Call *call) {
  move(call, &call->in[0], &call->out[0], is_inverse(call));
}

static void backward(const Call *call) {
  if (call->din[0].data) move(call, &call->dout[0], &call->din[0], !is_inverse(call));
}

const Op OP_ROW(patches) = {
    .name = "patches",
    .doc = "the voxels of a cell as channels, or back",
    .min_in = 1,
    .max_in = 1,
    .n_out = 1,
    .options = options,
    .options_bytes = sizeof(PatchesOptions),
    .shape = shape,
    .reference = {.forward = forward, .backward = backward},
};
