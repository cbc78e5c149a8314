/* Fast patches: bytes are moved, line by line of the map. Bound by memory. */
#include "kernels/patches.h"
#include "kernels/cpu/parallel.h"

#include <string.h>

static void move(const Call *call, const Tensor *from, const Tensor *to, bool inverse) {
  const Tensor *map = inverse ? to : from;
  PatchSizes s = patch_sizes(call, map);
  size_t bytes = dtype_bytes(map->type) * (size_t)s.run;
#pragma omp parallel for schedule(static) if (tensor_count(map) > PARALLEL_LEAST)
  for (int64_t line = 0; line < s.lines; line++)
    for (int64_t w = 0; w < s.cells[2]; w++) {
      size_t here = (size_t)(line * s.cells[2] + w) * bytes;
      size_t there = (size_t)patch_run(s, line, w) * bytes;
      memcpy((char *)to->data + (inverse ? here : there),
             (const char *)from->data + (inverse ? there : here), bytes);
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

const Kernel patches_cpu = {.forward = forward,
                            .backward = backward,
                            .bf16 = SAVES_IN(0) | SAVES_OUT(0),
                            .bf16_together = true};
