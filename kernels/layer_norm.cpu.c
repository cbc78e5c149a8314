/* A row is read from memory once and stays in the cache for mean, variance and result. Rows are
 * cut into at most 64 chunks whatever the number of threads; the gradients of gamma and beta are
 * summed over 64 rows in float, those in double, chunk after chunk. Bound by memory. */
#include "kernels/cpu/parallel.h"
#include "kernels/options.h"

#include <math.h>
#include <string.h>

enum { IN_GAMMA, IN_BETA, IN_X };
enum { OUT_Y, OUT_MEAN, OUT_RSTD };
enum { MAX_CHUNKS = 64, RUN = 64 /* rows summed in float */ };

extern const Op op_layer_norm_float;

typedef struct Work {
  int64_t rows, width, chunks, chunk_rows;
} Work;

/* Sums of one chunk over its rows, (2, width) each: those of dy h, then those of dy. */
typedef struct Sums {
  double *all;
  float *run;
} Sums;

static Work work_of(const Call *call) {
  const Tensor *x = &call->in[IN_X];
  Work w = {.rows = tensor_rows(x), .width = tensor_last(x)};
  w.chunk_rows = (w.rows + MAX_CHUNKS - 1) / MAX_CHUNKS;
  w.chunk_rows = (w.chunk_rows + RUN - 1) / RUN * RUN;
  w.chunks = (w.rows + w.chunk_rows - 1) / w.chunk_rows;
  return w;
}

static Sums sums_of(const Call *call, const Work *w, int64_t chunk) {
  Sums s = {.all = (double *)call->scratch + chunk * 2 * w->width};
  s.run = (float *)((double *)call->scratch + w->chunks * 2 * w->width) + chunk * 2 * w->width;
  return s;
}

static bool prepare(Call *call, Error *error) {
  (void)error;
  Work w = work_of(call);
  size_t sums = (size_t)(w.chunks * 2 * w.width) * (sizeof(double) + sizeof(float));
  call->scratch_bytes = call->backward ? sums : 0;
  return true;
}

static void forward(const Call *call) {
  Work w = work_of(call);
  double epsilon = ((const LayerNormOptions *)call->options)->epsilon;
  const float *restrict gamma = call->in[IN_GAMMA].data, *restrict beta = call->in[IN_BETA].data;
  float count = (float)w.width;
#pragma omp parallel for schedule(static) if (w.rows * w.width > PARALLEL_LEAST)
  for (int64_t row = 0; row < w.rows; row++) {
    const float *restrict x = (const float *)call->in[IN_X].data + row * w.width;
    float *restrict y = (float *)call->out[OUT_Y].data + row * w.width;
    float sum = 0, square = 0;
#pragma omp simd reduction(+ : sum)
    for (int64_t c = 0; c < w.width; c++) sum += x[c];
    float mean = sum / count;
#pragma omp simd reduction(+ : square)
    for (int64_t c = 0; c < w.width; c++) square += (x[c] - mean) * (x[c] - mean);
    float rstd = (float)(1 / sqrt((double)square / count + epsilon));
    for (int64_t c = 0; c < w.width; c++) y[c] = (x[c] - mean) * rstd * gamma[c] + beta[c];
    ((float *)call->out[OUT_MEAN].data)[row] = mean;
    ((float *)call->out[OUT_RSTD].data)[row] = rstd;
  }
}

/* Of one row: adds to the sums of gamma and beta, and writes dx where it is wanted. */
static void row_backward(const Call *call, const Work *w, int64_t row, float *restrict run) {
  const float *restrict gamma = call->in[IN_GAMMA].data;
  const float *restrict x = (const float *)call->in[IN_X].data + row * w->width;
  const float *restrict dy = (const float *)call->dout[OUT_Y].data + row * w->width;
  const float *dmean = call->dout[OUT_MEAN].data, *drstd = call->dout[OUT_RSTD].data;
  float mean = ((const float *)call->out[OUT_MEAN].data)[row];
  float rstd = ((const float *)call->out[OUT_RSTD].data)[row];
  float sum = 0, product = 0, count = (float)w->width;
  for (int64_t c = 0; c < w->width; c++) run[c] += dy[c] * ((x[c] - mean) * rstd);
  for (int64_t c = 0; c < w->width; c++) run[w->width + c] += dy[c];
  if (!call->din[IN_X].data) return;
#pragma omp simd reduction(+ : sum, product)
  for (int64_t c = 0; c < w->width; c++) {
    float g = dy[c] * gamma[c];
    sum += g;
    product += g * (x[c] - mean);
  }
  float shift = ((dmean ? dmean[row] : 0) - rstd * sum) / count;
  float slant = -((drstd ? drstd[row] : 0) + product) * rstd * rstd * rstd / count;
  float *restrict dx = (float *)call->din[IN_X].data + row * w->width;
  for (int64_t c = 0; c < w->width; c++)
    dx[c] = rstd * (dy[c] * gamma[c]) + slant * (x[c] - mean) + shift;
}

static void chunk_backward(const Call *call, const Work *w, int64_t chunk) {
  Sums s = sums_of(call, w, chunk);
  int64_t first = chunk * w->chunk_rows, end = first + w->chunk_rows;
  if (end > w->rows) end = w->rows;
  memset(s.all, 0, (size_t)(2 * w->width) * sizeof *s.all);
  for (int64_t run = first; run < end; run += RUN) {
    memset(s.run, 0, (size_t)(2 * w->width) * sizeof *s.run);
    for (int64_t row = run; row < end && row < run + RUN; row++) row_backward(call, w, row, s.run);
    for (int64_t i = 0; i < 2 * w->width; i++) s.all[i] += s.run[i];
  }
}

static void backward(const Call *call) {
  Work w = work_of(call);
  /* A gradient of the statistics alone: no model asks for it, so it may be slow. */
  if (!call->dout[OUT_Y].data) {
    op_layer_norm_float.reference.backward(call);
    return;
  }
#pragma omp parallel for schedule(static) if (w.rows * w.width > PARALLEL_LEAST)
  for (int64_t chunk = 0; chunk < w.chunks; chunk++) chunk_backward(call, &w, chunk);
  for (int i = 0; i < 2; i++) {
    float *to = call->din[i == 0 ? IN_GAMMA : IN_BETA].data;
    for (int64_t c = 0; to && c < w.width; c++) {
      double sum = 0;
      for (int64_t chunk = 0; chunk < w.chunks; chunk++)
        sum += sums_of(call, &w, chunk).all[i * w.width + c];
      to[c] = (float)sum;
    }
  }
}

const Kernel layer_norm_cpu = {
    .forward = forward, .backward = backward, .prepare = prepare, .float_only = true};
