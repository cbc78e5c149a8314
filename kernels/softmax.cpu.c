/* Fast softmax: tiles of rows (softmax_tile.h), shared out over the threads. */
#include "kernels/cpu/softmax_tile.h"
#include "kernels/op.h"

#include <omp.h>

/* A thread's two tiles, floats. */
static size_t share(const Call *call) {
  return 2 * TILE * (size_t)tensor_last(&call->in[0]);
}

static bool prepare(Call *call, Error *error) {
  (void)error;
  call->scratch_bytes = (size_t)omp_get_max_threads() * share(call) * sizeof(float);
  return true;
}

static int tile_rows(const Call *call, int64_t first) {
  int64_t left = tensor_rows(&call->in[0]) - first;
  return left < TILE ? (int)left : TILE;
}

static void forward(const Call *call) {
  int columns = (int)tensor_last(&call->in[0]), kept = (int)tensor_last(&call->out[0]);
#pragma omp parallel for schedule(static) if (tensor_rows(&call->in[0]) > 8 * TILE)
  for (int64_t first = 0; first < tensor_rows(&call->in[0]); first += TILE) {
    int rows = tile_rows(call, first);
    float *tile = (float *)call->scratch + (size_t)omp_get_thread_num() * share(call);
    float top[TILE], sum[TILE];
    tile_load(tile, (const float *)call->in[0].data + first * columns, rows, columns);
    tile_exp(tile, columns, top, sum);
    for (int c = 0; c < kept; c++)
#pragma omp simd
      for (int v = 0; v < TILE; v++) tile[c * TILE + v] /= sum[v];
    tile_store(tile, (float *)call->out[0].data + first * kept, rows, kept);
  }
}

/* dx = p (dy - mean), mean = sum p dy; dy of a dropped column is zero. */
static void backward(const Call *call) {
  int columns = (int)tensor_last(&call->in[0]), kept = (int)tensor_last(&call->out[0]);
  if (!call->din[0].data) return;
#pragma omp parallel for schedule(static) if (tensor_rows(&call->in[0]) > 8 * TILE)
  for (int64_t first = 0; first < tensor_rows(&call->in[0]); first += TILE) {
    int rows = tile_rows(call, first);
    float *tile = (float *)call->scratch + (size_t)omp_get_thread_num() * share(call);
    float *dy = tile + TILE * columns, top[TILE], sum[TILE], mean[TILE] = {0};
    tile_load(tile, (const float *)call->in[0].data + first * columns, rows, columns);
    tile_load(dy, (const float *)call->dout[0].data + first * kept, rows, kept);
    tile_exp(tile, columns, top, sum);
    for (int i = kept * TILE; i < columns * TILE; i++) dy[i] = 0;
    for (int c = 0; c < columns; c++)
#pragma omp simd
      for (int v = 0; v < TILE; v++) {
        tile[c * TILE + v] /= sum[v];
        mean[v] += tile[c * TILE + v] * dy[c * TILE + v];
      }
    for (int c = 0; c < columns; c++)
#pragma omp simd
      for (int v = 0; v < TILE; v++) tile[c * TILE + v] *= dy[c * TILE + v] - mean[v];
    tile_store(tile, (float *)call->din[0].data + first * columns, rows, columns);
  }
}

const Kernel softmax_cpu = {
    .forward = forward, .backward = backward, .prepare = prepare, .float_only = true};
