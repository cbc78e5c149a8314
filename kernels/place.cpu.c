/* Fast place: bytes are moved, by lines of the output forward, of the input backward. Bound by
 * memory. */
#include "kernels/place.h"
#include "kernels/cpu/parallel.h"

#include <string.h>

/* The line of the input that lies on line `line` of the output, or -1. */
static int64_t line_source(const Call *call, int64_t line) {
  const PlaceOptions *o = call->options;
  const int64_t *in = call->in[0].dim, *out = call->out[0].dim;
  int64_t z = placed_at(line / out[2] % out[1], in[1], o->before.v[0], o->stride.v[0]);
  int64_t y = placed_at(line % out[2], in[2], o->before.v[1], o->stride.v[1]);
  return z < 0 || y < 0 ? -1 : (line / (out[1] * out[2]) * in[1] + z) * in[2] + y;
}

static void forward(const Call *call) {
  const PlaceOptions *o = call->options;
  const Tensor *x = &call->in[0], *y = &call->out[0];
  int64_t lines = y->dim[0] * y->dim[1] * y->dim[2], stride = o->stride.v[2], count = x->dim[3];
  size_t voxel = dtype_bytes(x->type) * (size_t)x->dim[4];
  size_t length = (size_t)y->dim[3] * voxel, before = (size_t)o->before.v[2] * voxel;
#pragma omp parallel for schedule(static) if (tensor_count(y) > PARALLEL_LEAST)
  for (int64_t line = 0; line < lines; line++) {
    char *to = (char *)y->data + (size_t)line * length;
    int64_t source = line_source(call, line);
    const char *from = (const char *)x->data + source * count * (int64_t)voxel;
    if (source < 0 || stride > 1 || count < y->dim[3]) memset(to, 0, length);
    if (source >= 0 && stride == 1) memcpy(to + before, from, (size_t)count * voxel);
    for (int64_t i = 0; source >= 0 && stride > 1 && i < count; i++)
      memcpy(to + before + (size_t)(i * stride) * voxel, from + (size_t)i * voxel, voxel);
  }
}

static void backward(const Call *call) {
  const PlaceOptions *o = call->options;
  const Tensor *dx = &call->din[0], *dy = &call->dout[0];
  const int64_t *in = call->in[0].dim, *out = call->out[0].dim;
  size_t voxel = dtype_bytes(dy->type) * (size_t)in[4];
  if (!dx->data) return;
#pragma omp parallel for schedule(static) if (tensor_count(dx) > PARALLEL_LEAST)
  for (int64_t line = 0; line < in[0] * in[1] * in[2]; line++) {
    int64_t z = line / in[2] % in[1] * o->stride.v[0] + o->before.v[0];
    int64_t y = line % in[2] * o->stride.v[1] + o->before.v[1];
    int64_t first = ((line / (in[1] * in[2]) * out[1] + z) * out[2] + y) * out[3] + o->before.v[2];
    for (int64_t i = 0; i < in[3]; i++)
      memcpy((char *)dx->data + (size_t)(line * in[3] + i) * voxel,
             (const char *)dy->data + (size_t)(first + i * o->stride.v[2]) * voxel, voxel);
  }
}

const Kernel place_cpu = {.forward = forward,
                          .backward = backward,
                          .bf16 = SAVES_IN(0) | SAVES_OUT(0),
                          .bf16_together = true};
