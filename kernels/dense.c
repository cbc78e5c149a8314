#include "kernels/dense.h"
#include "kernels/gemm.h"

#include <omp.h>
#include <string.h>

enum { TILE_ROWS = 256 };

/* One thread's share of scratch: [column sums, double][tile][sums of a tile][dw] */
typedef struct Share {
  double *columns;
  float *tile, *tile_columns, *dw;
} Share;

static size_t share_bytes(const Dense *d, bool backward) {
  int64_t rows = d->rows < TILE_ROWS ? d->rows : TILE_ROWS;
  size_t bytes = (size_t)(rows * d->outs) * sizeof(float);
  if (backward)
    bytes += (size_t)d->outs * (sizeof(double) + sizeof(float)) +
             (size_t)(d->ins * d->outs) * sizeof(float);
  return (bytes + 63) / 64 * 64;
}

size_t dense_scratch(const Dense *d, bool backward) {
  return share_bytes(d, backward) * (size_t)omp_get_max_threads();
}

static Share share_of(const Dense *d, bool backward, int thread) {
  char *start = (char *)d->call->scratch + share_bytes(d, backward) * (size_t)thread;
  if (!backward) return (Share){.tile = (float *)(void *)start};
  int64_t rows = d->rows < TILE_ROWS ? d->rows : TILE_ROWS;
  Share s = {.columns = (double *)(void *)start};
  s.tile = (float *)(s.columns + d->outs);
  s.tile_columns = s.tile + rows * d->outs;
  s.dw = s.tile_columns + d->outs;
  return s;
}

static int64_t tile_count(const Dense *d) {
  return (d->rows + TILE_ROWS - 1) / TILE_ROWS;
}

static int64_t tile_rows(const Dense *d, int64_t first) {
  return d->rows - first < TILE_ROWS ? d->rows - first : TILE_ROWS;
}

static Matrix weights(const Dense *d, bool transposed) {
  return (Matrix){d->w, d->by_input ? d->outs : d->ins, transposed};
}

void dense_forward(const Dense *d) {
#pragma omp parallel for schedule(static) if (d->rows > TILE_ROWS)
  for (int64_t t = 0; t < tile_count(d); t++) {
    int64_t first = t * TILE_ROWS, count = tile_rows(d, first);
    float *tile = d->y ? d->y + first * d->outs : share_of(d, false, omp_get_thread_num()).tile;
    gemm(count, d->outs, d->ins, 1, (Matrix){d->x + first * d->ins, d->ins, false},
         weights(d, !d->by_input), 0, tile, d->outs);
    d->finish(d->call, first, count, tile);
  }
}

static void columns_add(const Dense *d, const Share *s, const float *g, int64_t count) {
  float *restrict sums = s->tile_columns;
  memset(sums, 0, (size_t)d->outs * sizeof *sums);
  for (int64_t row = 0; row < count; row++)
    for (int64_t o = 0; o < d->outs; o++) sums[o] += g[row * d->outs + o];
  for (int64_t o = 0; o < d->outs; o++) s->columns[o] += sums[o];
}

static void tile_backward(const Dense *d, const Share *s, int64_t first) {
  int64_t count = tile_rows(d, first);
  const float *g = d->gather(d->call, first, count, s->tile);
  columns_add(d, s, g, count);
  if (d->dx)
    gemm(count, d->ins, d->outs, 1, (Matrix){g, d->outs, false}, weights(d, d->by_input), 0,
         d->dx + first * d->ins, d->ins);
  if (!d->dw) return;
  Matrix x = {d->x + first * d->ins, d->ins, d->by_input}, gradient = {g, d->outs, !d->by_input};
  if (d->by_input)
    gemm(d->ins, d->outs, count, 1, x, gradient, 1, s->dw, d->outs);
  else
    gemm(d->outs, d->ins, count, 1, gradient, x, 1, s->dw, d->ins);
}

const double *dense_backward(const Dense *d) {
  int threads = 1;
#pragma omp parallel if (d->rows > TILE_ROWS)
  {
#pragma omp single
    threads = omp_get_num_threads();
    Share s = share_of(d, true, omp_get_thread_num());
    memset(s.columns, 0, (size_t)d->outs * sizeof *s.columns);
    if (d->dw) memset(s.dw, 0, (size_t)(d->ins * d->outs) * sizeof *s.dw);
#pragma omp for schedule(static)
    for (int64_t t = 0; t < tile_count(d); t++) tile_backward(d, &s, t * TILE_ROWS);
  }
  Share all = share_of(d, true, 0);
  for (int t = 1; t < threads; t++) {
    Share s = share_of(d, true, t);
    for (int64_t o = 0; o < d->outs; o++) all.columns[o] += s.columns[o];
    for (int64_t i = 0; d->dw && i < d->ins * d->outs; i++) all.dw[i] += s.dw[i];
  }
  if (d->dw) memcpy(d->dw, all.dw, (size_t)(d->ins * d->outs) * sizeof *d->dw);
  return all.columns;
}
