/* Fast add: bound by memory. The gradient of a repeated b is a sum over rows of `period` elements:
 * float over ROWS rows, double beyond, pieces of rows apart so that threads do not matter. */
#include "kernels/options.h"

#include <string.h>

enum { IN_A, IN_B };
enum { COLUMNS = 64, ROWS = 64, PIECES = 16, CHUNK = 1 << 14 };

typedef struct Sizes {
  int64_t count, period, rows, pieces;
} Sizes;

static Sizes sizes_make(const Call *call) {
  Sizes s = {.count = tensor_count(&call->in[IN_A]), .period = tensor_count(&call->in[IN_B])};
  s.rows = s.count / s.period;
  s.pieces = s.rows >= ROWS * PIECES ? PIECES : 1;
  return s;
}

static bool prepare(Call *call, Error *error) {
  (void)error;
  Sizes s = sizes_make(call);
  bool sums = call->backward && s.pieces > 1;
  call->scratch_bytes = sums ? (size_t)(s.pieces * s.period) * sizeof(double) : 0;
  return true;
}

static void forward(const Call *call) {
  Sizes s = sizes_make(call);
  const float *a = call->in[IN_A].data, *b = call->in[IN_B].data;
  float *y = call->out[0].data;
  /* Runs of at most CHUNK elements, none across the end of b. */
  int64_t runs = (s.period + CHUNK - 1) / CHUNK;
#pragma omp parallel for schedule(static)
  for (int64_t i = 0; i < s.rows * runs; i++) {
    int64_t start = i % runs * CHUNK, at = i / runs * s.period + start;
    int64_t length = s.period - start < CHUNK ? s.period - start : CHUNK;
#pragma omp simd
    for (int64_t j = 0; j < length; j++) y[at + j] = a[at + j] + b[start + j];
  }
}

/* Sums of `columns` <= COLUMNS columns over rows [first, last). */
static void column_sums(const float *dy, int64_t period, int columns, int64_t first, int64_t last,
                        double *total) {
  memset(total, 0, COLUMNS * sizeof *total);
  for (int64_t block = first; block < last; block += ROWS) {
    float sum[COLUMNS] = {0};
    int64_t end = block + ROWS < last ? block + ROWS : last;
    for (int64_t r = block; r < end; r++)
#pragma omp simd
      for (int c = 0; c < columns; c++) sum[c] += dy[r * period + c];
    for (int c = 0; c < columns; c++) total[c] += (double)sum[c];
  }
}

static void repeat_backward(const Call *call, const Sizes *s) {
  const float *dy = call->dout[0].data;
  float *db = call->din[IN_B].data;
  double *partial = call->scratch;
  int64_t groups = (s->period + COLUMNS - 1) / COLUMNS;
#pragma omp parallel for schedule(static)
  for (int64_t i = 0; i < groups * s->pieces; i++) {
    double total[COLUMNS];
    int64_t start = i % groups * COLUMNS, piece = i / groups;
    int columns = s->period - start < COLUMNS ? (int)(s->period - start) : COLUMNS;
    column_sums(dy + start, s->period, columns, s->rows * piece / s->pieces,
                s->rows * (piece + 1) / s->pieces, total);
    for (int c = 0; c < columns; c++)
      if (s->pieces == 1)
        db[start + c] = (float)total[c];
      else
        partial[piece * s->period + start + c] = total[c];
  }
  for (int64_t j = 0; s->pieces > 1 && j < s->period; j++) {
    double sum = 0;
    for (int64_t piece = 0; piece < s->pieces; piece++) sum += partial[piece * s->period + j];
    db[j] = (float)sum;
  }
}

static void copy(float *to, const float *from, int64_t count) {
#pragma omp parallel for schedule(static)
  for (int64_t i = 0; i < count; i += CHUNK)
    memcpy(to + i, from + i, (size_t)(count - i < CHUNK ? count - i : CHUNK) * sizeof *to);
}

static void backward(const Call *call) {
  Sizes s = sizes_make(call);
  const float *dy = call->dout[0].data;
  float *da = call->din[IN_A].data, *db = call->din[IN_B].data;
  if (db && s.rows == 1) copy(db, dy, s.count);
  if (db && s.rows > 1) repeat_backward(call, &s);
  if (da && da != dy) copy(da, dy, s.count);
}

const Kernel add_cpu = {.forward = forward, .backward = backward, .prepare = prepare};
