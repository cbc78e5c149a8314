/* Fast swap: bytes are moved. Where a run of elements stays together it is copied; single elements
 * are moved by square tiles that fit the first cache, so that both sides are read and written by
 * whole lines. Bound by memory. */
#include "kernels/swap.h"
#include "kernels/cpu/parallel.h"
#include "kernels/cpu/simd.h"

enum { TILE = 16 };

/* y[c, b] = x[b, c] for a tile of rows b and columns c, pitches in elements. */
#define TILE_MOVE(name, type)                                                                      \
  static void name(const type *restrict x, int64_t x_pitch, type *restrict y, int64_t y_pitch,     \
                   int64_t rows, int64_t columns) {                                                \
    if (rows == TILE && columns == TILE) {                                                         \
      for (int c = 0; c < TILE; c++)                                                               \
        for (int b = 0; b < TILE; b++) y[c * y_pitch + b] = x[b * x_pitch + c];                    \
      return;                                                                                      \
    }                                                                                              \
    for (int64_t c = 0; c < columns; c++)                                                          \
      for (int64_t b = 0; b < rows; b++) y[c * y_pitch + b] = x[b * x_pitch + c];                  \
  }
TILE_MOVE(tile_move_4, uint32_t)
TILE_MOVE(tile_move_2, uint16_t)

static int64_t least(int64_t a, int64_t b) {
  return a < b ? a : b;
}

/* inner = 1: a matrix (first, second) for each of outer and middle. */
static void elements_swap(const Tensor *x, const Tensor *y, const SwapSizes *s) {
  int64_t across = (s->second + TILE - 1) / TILE, down = (s->first + TILE - 1) / TILE;
  int64_t matrix = s->first * s->middle * s->second;
  size_t size = dtype_bytes(x->type);
#pragma omp parallel for schedule(static) if (s->outer * matrix > PARALLEL_LEAST)
  for (int64_t i = 0; i < s->outer * s->middle * across * down; i++) {
    int64_t b = i % down * TILE, c = i / down % across * TILE;
    int64_t m = i / (down * across) % s->middle, o = i / (down * across * s->middle);
    int64_t rows = least(s->first - b, TILE), columns = least(s->second - c, TILE);
    int64_t from = o * matrix + (b * s->middle + m) * s->second + c;
    int64_t to = o * matrix + (c * s->middle + m) * s->first + b;
    if (size == 4)
      tile_move_4((const uint32_t *)x->data + from, s->middle * s->second, (uint32_t *)y->data + to,
                  s->middle * s->first, rows, columns);
    else
      tile_move_2((const uint16_t *)x->data + from, s->middle * s->second, (uint16_t *)y->data + to,
                  s->middle * s->first, rows, columns);
  }
}

/* Runs of `inner` elements, in the order of y. */
static void runs_swap(const Tensor *x, const Tensor *y, const SwapSizes *s) {
  int64_t rows = s->outer * s->second * s->middle;
  size_t bytes = dtype_bytes(x->type) * (size_t)s->inner;
#pragma omp parallel for schedule(static) if (tensor_count(x) > PARALLEL_LEAST)
  for (int64_t row = 0; row < rows; row++) {
    int64_t m = row % s->middle, c = row / s->middle % s->second;
    int64_t o = row / (s->middle * s->second);
    char *to = (char *)y->data + (size_t)(row * s->first) * bytes;
    for (int64_t b = 0; b < s->first; b++, to += bytes)
      memcpy(to,
             (const char *)x->data +
                 (size_t)(((o * s->first + b) * s->middle + m) * s->second + c) * bytes,
             bytes);
  }
}

static void swapped(const Call *call, const Tensor *x, const Tensor *y) {
  SwapSizes s = swap_sizes(call, x);
  if (s.inner == 1)
    elements_swap(x, y, &s);
  else
    runs_swap(x, y, &s);
}

static void forward(const Call *call) {
  swapped(call, &call->in[0], &call->out[0]);
}

static void backward(const Call *call) {
  if (call->din[0].data) swapped(call, &call->dout[0], &call->din[0]);
}

const Kernel swap_cpu = {.forward = forward,
                         .backward = backward,
                         .bf16 = SAVES_IN(0) | SAVES_OUT(0),
                         .bf16_together = true};
