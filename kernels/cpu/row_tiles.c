#include "kernels/cpu/row_tiles.h"
#include "kernels/cpu/bf16.h"
#include "kernels/cpu/sgemm.h"
#include "kernels/cpu/tile_product.h"

#include <omp.h>
#include <string.h>

/* A tile's rows of x and of the result stay in the second-level cache; a few tiles a thread. */
enum { TILE_FLOATS = 1 << 15, MOST_ROWS = 256, LEAST_ROWS = 32, TILES = 8 };
enum { ALONE = 1 << 19 /* multiplications that one thread does before a second has woken up */ };

/* One thread's share of scratch: [column sums, double][tile][rows of x or dx][sums of a tile][dw];
 * forward: [tile][rows of x]. Before all shares: the weights, transposed. */
typedef struct Share {
  double *columns;
  float *tile, *rows, *tile_columns, *dw;
} Share;

static int64_t tile_size(const Dense *d) {
  int64_t rows = TILE_FLOATS / (d->ins + d->outs), fair = (d->rows + TILES - 1) / TILES;
  rows = rows < LEAST_ROWS ? LEAST_ROWS : rows < MOST_ROWS ? rows : MOST_ROWS;
  return ((rows < fair ? rows : fair) + VEC - 1) / VEC * VEC;
}

static bool is_large(const Dense *d) {
  return d->rows * d->ins * d->outs > ALONE;
}

static int64_t rows_floats(const Dense *d) {
  return d->x_type == BF16 ? tile_size(d) * d->ins : 0;
}

static int64_t tile_floats(const Dense *d, bool backward) {
  return backward || d->finish ? tile_size(d) * d->outs : 0;
}

static size_t rounded(size_t bytes) {
  return (bytes + 63) / 64 * 64;
}

static size_t share_bytes(const Dense *d, bool backward) {
  size_t bytes = (size_t)(tile_floats(d, backward) + rows_floats(d)) * sizeof(float);
  if (backward)
    bytes += (size_t)d->outs * (sizeof(double) + sizeof(float)) +
             (size_t)(d->ins * d->outs) * sizeof(float);
  return rounded(bytes);
}

static size_t weights_bytes(const Dense *d) {
  return rounded((size_t)(d->ins * d->outs) * sizeof(float));
}

/* Weights that do not fit into a core's second-level cache (a ViT's) would be read anew for every
 * tile of rows: there the library multiplies all rows at once, by blocks of both. */
enum { WIDE_WEIGHTS = 1 << 19, WIDE_ROWS = 128 };

static bool is_wide(const Dense *d) {
  return d->x_type == F32 && !d->finish && !d->by_input && d->rows >= WIDE_ROWS &&
         d->ins * d->outs >= WIDE_WEIGHTS;
}

/* [the gradient of all rows][a thread's sums of columns, double, and of a tile], the latter once
 * for every thread. */
static size_t wide_gradient_bytes(const Dense *d) {
  return rounded((size_t)(d->rows * d->outs) * sizeof(float));
}

static size_t wide_share_bytes(const Dense *d) {
  return rounded((size_t)d->outs * (sizeof(double) + sizeof(float)));
}

size_t dense_scratch(const Dense *d, bool backward) {
  size_t threads = (size_t)omp_get_max_threads();
  if (is_wide(d)) return backward ? wide_gradient_bytes(d) + wide_share_bytes(d) * threads : 0;
  return weights_bytes(d) + share_bytes(d, backward) * threads;
}

static Share share_of(const Dense *d, bool backward, int thread) {
  Share s = {0};
  s.columns = (double *)(void *)((char *)d->call->scratch + weights_bytes(d) +
                                 share_bytes(d, backward) * (size_t)thread);
  s.tile = (float *)(s.columns + (backward ? d->outs : 0));
  s.rows = s.tile + tile_floats(d, backward);
  s.tile_columns = s.rows + rows_floats(d);
  s.dw = s.tile_columns + d->outs;
  return s;
}

static int64_t tile_count(const Dense *d) {
  return (d->rows + tile_size(d) - 1) / tile_size(d);
}

static int64_t tile_rows(const Dense *d, int64_t first) {
  return d->rows - first < tile_size(d) ? d->rows - first : tile_size(d);
}

/* The weights as (ins, outs) for the result, or as (outs, ins) for dx: as they lie or in
 * scratch. */
static const float *weights(const Dense *d, bool by_input) {
  if (by_input == d->by_input) return d->w;
  int64_t rows = by_input ? d->ins : d->outs, columns = by_input ? d->outs : d->ins;
  float *to = d->call->scratch;
  for (int64_t r = 0; r < rows; r++)
    for (int64_t c = 0; c < columns; c++) to[r * columns + c] = d->w[c * rows + r];
  return to;
}

/* Rows of x in float: where they lie, or a copy. */
static const float *x_rows(const Dense *d, const Share *s, int64_t first, int64_t count) {
  if (d->x_type == F32) return (const float *)d->x + first * d->ins;
  bf16_to_floats(s->rows, (const Bf16 *)d->x + first * d->ins, count * d->ins);
  return s->rows;
}

static void tile_forward(const Dense *d, const float *w, int64_t first) {
  int64_t count = tile_rows(d, first);
  Share s = share_of(d, false, omp_get_thread_num());
  float *tile = d->finish ? s.tile : d->y + first * d->outs;
  product(&(Product){.rows = count,
                     .columns = d->outs,
                     .depth = d->ins,
                     .a = x_rows(d, &s, first, count),
                     .a_row = d->ins,
                     .a_k = 1,
                     .b = w,
                     .b_k = d->outs,
                     .c = tile,
                     .c_row = d->outs,
                     .start = d->b,
                     .relu = d->relu});
  if (d->finish) d->finish(d->call, first, count, tile);
}

static void wide_finish(const Dense *d, int64_t row) {
  float *y = d->y + row * d->outs;
  for (int64_t o = 0; d->b && o < d->outs; o++) y[o] += d->b[o];
  for (int64_t o = 0; d->relu && o < d->outs; o++) y[o] = y[o] > 0 ? y[o] : 0;
}

static void wide_forward(const Dense *d) {
  gemm(d->rows, d->outs, d->ins, 1, (Matrix){d->x, d->ins, false}, (Matrix){d->w, d->ins, true}, 0,
       d->y, d->outs);
  if (!d->b && !d->relu) return;
#pragma omp parallel for schedule(static)
  for (int64_t r = 0; r < d->rows; r++) wide_finish(d, r);
}

void dense_forward(const Dense *d) {
  if (is_wide(d)) {
    wide_forward(d);
    return;
  }
  const float *w = weights(d, true);
#pragma omp parallel for schedule(static) if (is_large(d))
  for (int64_t t = 0; t < tile_count(d); t++) tile_forward(d, w, t * tile_size(d));
}

/* The tile's gradient g (count, outs): its columns' sums. */
static void columns_add(const Dense *d, const Share *s, const float *g, int64_t count) {
  static const float one = 1;
  product(&(Product){.rows = 1,
                     .columns = d->outs,
                     .depth = count,
                     .a = &one,
                     .b = g,
                     .b_k = d->outs,
                     .c = s->tile_columns,
                     .c_row = d->outs});
  for (int64_t o = 0; o < d->outs; o++) s->columns[o] += (double)s->tile_columns[o];
}

static void tile_dx(const Dense *d, const Share *s, const float *w, const float *g, int64_t first,
                    int64_t count) {
  float *dx = d->x_type == F32 ? (float *)d->dx + first * d->ins : s->rows;
  product(&(Product){.rows = count,
                     .columns = d->ins,
                     .depth = d->outs,
                     .a = g,
                     .a_row = d->outs,
                     .a_k = 1,
                     .b = w,
                     .b_k = d->ins,
                     .c = dx,
                     .c_row = d->ins});
  if (d->x_type == BF16) bf16_from_floats((Bf16 *)d->dx + first * d->ins, dx, count * d->ins);
}

/* Adds to dw, which lies as w does. */
static void tile_dw(const Dense *d, const Share *s, const float *g, const float *x, int64_t count) {
  Product p = {.rows = d->outs,
               .columns = d->ins,
               .depth = count,
               .a = g,
               .a_row = 1,
               .a_k = d->outs,
               .b = x,
               .b_k = d->ins,
               .c = s->dw,
               .c_row = d->ins,
               .add = true};
  if (d->by_input) {
    p.rows = d->ins, p.columns = p.c_row = d->outs;
    p.a = x, p.a_k = d->ins;
    p.b = g, p.b_k = d->outs;
  }
  product(&p);
}

static void tile_backward(const Dense *d, const Share *s, const float *w, int64_t first) {
  int64_t count = tile_rows(d, first);
  const float *g = d->gather(d->call, first, count, s->tile);
  columns_add(d, s, g, count);
  if (d->dx) tile_dx(d, s, w, g, first, count);
  if (d->dw) tile_dw(d, s, g, x_rows(d, s, first, count), count);
}

static Share wide_share(const Dense *d, int thread) {
  Share s = {.columns = (double *)(void *)((char *)d->call->scratch + wide_gradient_bytes(d) +
                                           wide_share_bytes(d) * (size_t)thread)};
  s.tile_columns = (float *)(s.columns + d->outs);
  return s;
}

/* The gradient of all rows, where it lies or gathered; its columns' sums in the first share. */
static const float *wide_gradient(const Dense *d, const double **sums) {
  float *all = d->call->scratch;
  const float *gradient = NULL;
  int threads = 1;
#pragma omp parallel
  {
#pragma omp single
    threads = omp_get_num_threads();
    Share s = wide_share(d, omp_get_thread_num());
    memset(s.columns, 0, (size_t)d->outs * sizeof *s.columns);
#pragma omp for schedule(static)
    for (int64_t t = 0; t < tile_count(d); t++) {
      int64_t first = t * tile_size(d), count = tile_rows(d, first);
      const float *g = d->gather(d->call, first, count, all + first * d->outs);
      columns_add(d, &s, g, count);
      if (t == 0) gradient = g;
    }
  }
  Share first = wide_share(d, 0);
  for (int t = 1; t < threads; t++)
    for (int64_t o = 0; o < d->outs; o++) first.columns[o] += wide_share(d, t).columns[o];
  *sums = first.columns;
  return gradient;
}

static const double *wide_backward(const Dense *d) {
  const double *sums = NULL;
  const float *g = wide_gradient(d, &sums);
  if (d->dx)
    gemm(d->rows, d->ins, d->outs, 1, (Matrix){g, d->outs, false}, (Matrix){d->w, d->ins, false}, 0,
         d->dx, d->ins);
  if (d->dw)
    gemm(d->outs, d->ins, d->rows, 1, (Matrix){g, d->outs, true}, (Matrix){d->x, d->ins, false}, 0,
         d->dw, d->ins);
  return sums;
}

const double *dense_backward(const Dense *d) {
  if (is_wide(d)) return wide_backward(d);
  int threads = 1;
  const float *w = d->dx ? weights(d, false) : NULL;
#pragma omp parallel if (is_large(d))
  {
#pragma omp single
    threads = omp_get_num_threads();
    Share s = share_of(d, true, omp_get_thread_num());
    memset(s.columns, 0, (size_t)d->outs * sizeof *s.columns);
    if (d->dw) memset(s.dw, 0, (size_t)(d->ins * d->outs) * sizeof *s.dw);
#pragma omp for schedule(static)
    for (int64_t t = 0; t < tile_count(d); t++) tile_backward(d, &s, w, t * tile_size(d));
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
