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

/* Few long rows (samples): part after part, in chunks. */
static void long_move(char *all, int64_t pitch, char *part, int64_t width, int64_t rows,
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

/* Many short ones (voxels): all parts of a row, so that `all` is walked once. */
static void short_move(char *all, int64_t pitch, char *const *part, const int64_t *width, int parts,
                       int64_t rows, bool join) {
#pragma omp parallel for schedule(static) if (rows * pitch > 4 * PARALLEL_LEAST)
  for (int64_t row = 0; row < rows; row++) {
    char *whole = all + row * pitch;
    for (int i = 0; i < parts; i++) {
      if (part[i] && join) move(whole, part[i] + row * width[i], width[i]);
      if (part[i] && !join) move(part[i] + row * width[i], whole, width[i]);
      whole += width[i];
    }
  }
}

/* join: from the parts to `all`, else back. */
static void parts_move(const Call *call, const Tensor *all, const Tensor *parts, bool join) {
  int64_t rows = concat_rows(call), pitch = (int64_t)tensor_bytes(all) / rows, width[MAX_IN];
  char *part[MAX_IN], *at = all->data;
  for (int i = 0; i < call->n_in; i++) {
    width[i] = (int64_t)tensor_bytes(&call->in[i]) / rows;
    part[i] = parts[i].data;
  }
  if (pitch < CHUNK) {
    short_move(at, pitch, part, width, call->n_in, rows, join);
    return;
  }
  for (int i = 0; i < call->n_in; at += width[i++])
    if (part[i]) long_move(at, pitch, part[i], width[i], rows, join);
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
