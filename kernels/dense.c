#include "kernels/dense.h"
#include "kernels/bf16.h"
#include "kernels/gemm.h"

#include <omp.h>
#include <string.h>

enum { TILE_ROWS = 256 };

/* One thread's share of scratch: [column sums, double][tile][rows of x or dx][sums of a tile][dw];
 * forward: [tile][rows of x] */
typedef struct Share {
  double *columns;
  float *tile, *rows, *tile_columns, *dw;
} Share;

static int64_t rows_floats(const Dense *d) {
  int64_t rows = d->rows < TILE_ROWS ? d->rows : TILE_ROWS;
  return d->x_type == BF16 ? rows * d->ins : 0;
}

static size_t share_bytes(const Dense *d, bool backward) {
  int64_t rows = d->rows < TILE_ROWS ? d->rows : TILE_ROWS;
  size_t bytes = (size_t)(rows * d->outs + rows_floats(d)) * sizeof(float);
  if (backward)
    bytes += (size_t)d->outs * (sizeof(double) + sizeof(float)) +
             (size_t)(d->ins * d->outs) * sizeof(float);
  return (bytes + 63) / 64 * 64;
}

size_t dense_scratch(const Dense *d, bool backward) {
  return share_bytes(d, backward) * (size_t)omp_get_max_threads();
}

static Share share_of(const Dense *d, bool backward, int thread) {
  int64_t rows = d->rows < TILE_ROWS ? d->rows : TILE_ROWS;
  Share s = {0};
  s.columns =
      (double *)(void *)((char *)d->call->scratch + share_bytes(d, backward) * (size_t)thread);
  s.tile = (float *)(s.columns + (backward ? d->outs : 0));
  s.rows = s.tile + rows * d->outs;
  s.tile_columns = s.rows + rows_floats(d);
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

/* Rows of x in float: where they lie, or a copy. */
static const float *x_rows(const Dense *d, const Share *s, int64_t first, int64_t count) {
  if (d->x_type == F32) return (const float *)d->x + first * d->ins;
  bf16_to_floats(s->rows, (const Bf16 *)d->x + first * d->ins, count * d->ins);
  return s->rows;
}

void dense_forward(const Dense *d) {
#pragma omp parallel for schedule(static) if (d->rows > TILE_ROWS)
  for (int64_t t = 0; t < tile_count(d); t++) {
    int64_t first = t * TILE_ROWS, count = tile_rows(d, first);
    Share s = share_of(d, false, omp_get_thread_num());
    float *tile = d->y ? d->y + first * d->outs : s.tile;
    gemm(count, d->outs, d->ins, 1, (Matrix){x_rows(d, &s, first, count), d->ins, false},
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
  if (d->dx) {
    float *dx = d->x_type == F32 ? (float *)d->dx + first * d->ins : s->rows;
    gemm(count, d->ins, d->outs, 1, (Matrix){g, d->outs, false}, weights(d, d->by_input), 0, dx,
         d->ins);
    if (d->x_type == BF16) bf16_from_floats((Bf16 *)d->dx + first * d->ins, dx, count * d->ins);
  }
  if (!d->dw) return;
  Matrix x = {x_rows(d, s, first, count), d->ins, d->by_input};
  Matrix gradient = {g, d->outs, !d->by_input};
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
