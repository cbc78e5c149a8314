/* Fast concat: bytes are moved, by all threads; short runs (the channels of a voxel) by whole
 * vectors, without a call for each. Bound by memory. */
#include "kernels/cpu/parallel.h"
#include "kernels/cpu/simd.h"
#include "kernels/options.h"

enum { CHUNK = 1 << 16 }; /* bytes of a long run that a thread takes at once */

INLINE void move(char *restrict to, const char *restrict from, int64_t bytes) {
  if (bytes >= 1 << 10) {
    memcpy(to, from, (size_t)bytes);
    return;
  }
  int64_t i = 0;
  for (; i + VEC_BYTES <= bytes; i += VEC_BYTES)
    vec_store((float *)(void *)(to + i), vec_load((const float *)(const void *)(from + i)));
  for (; i + 4 <= bytes; i += 4) memcpy(to + i, from + i, 4);
  for (; i < bytes; i++) to[i] = from[i];
}

/* Part i of the rows of `all`, or back: join says which way. Rows so long that there are few are
 * shared out in chunks. */
static void part_move(char *all, int64_t pitch, char *part, int64_t width, int64_t rows,
                      bool join) {
  int64_t chunks = (width + CHUNK - 1) / CHUNK;
#pragma omp parallel for schedule(static) if (rows * width > 4 * PARALLEL_LEAST)
  for (int64_t i = 0; i < rows * chunks; i++) {
    int64_t row = i / chunks, start = i % chunks * CHUNK;
    int64_t bytes = width - start < CHUNK ? width - start : CHUNK;
    char *whole = all + row * pitch + start, *own = part + row * width + start;
    if (join)
      move(whole, own, bytes);
    else
      move(own, whole, bytes);
  }
}

static void parts_move(const Call *call, const Tensor *all, const Tensor *parts, bool join) {
  int64_t rows = concat_rows(call), pitch = (int64_t)tensor_bytes(all) / rows;
  char *at = all->data;
  for (int i = 0; i < call->n_in; i++) {
    int64_t width = (int64_t)tensor_bytes(&call->in[i]) / rows;
    if (parts[i].data) part_move(at, pitch, parts[i].data, width, rows, join);
    at += width;
  }
}

static void forward(const Call *call) {
  parts_move(call, &call->out[0], call->in, true);
}

static void backward(const Call *call) {
  parts_move(call, &call->dout[0], call->din, false);
}

const Kernel concat_cpu = {.forward = forward,
                           .backward = backward,
                           .bf16 = SAVES_ALL_IN | SAVES_OUT(0),
                           .bf16_together = true};
