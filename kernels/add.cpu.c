/* Fast add: bound by memory. The gradient of a repeated b is a sum over rows of `period` elements:
 * float over ROWS rows, double beyond, pieces of rows apart so that threads do not matter. */
#include "kernels/cpu/bf16.h"
#include "kernels/cpu/parallel.h"
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

INLINE void add_run(const void *a, const void *b, void *y, int64_t count, DType type) {
  int64_t i = 0;
  for (; i + VEC <= count; i += VEC)
    real_store(y, i, real_load(a, i, type) + real_load(b, i, type), type);
  for (; i < count; i++) real_set(y, i, real_get(a, i, type) + real_get(b, i, type), type);
}

static void forward(const Call *call) {
  Sizes s = sizes_make(call);
  const void *a = call->in[IN_A].data, *b = call->in[IN_B].data;
  void *y = call->out[0].data;
  DType type = call->out[0].type;
  /* Runs of at most CHUNK elements, none across the end of b. */
  int64_t runs = (s.period + CHUNK - 1) / CHUNK;
#pragma omp parallel for schedule(static) if (s.count > PARALLEL_LEAST)
  for (int64_t i = 0; i < s.rows * runs; i++) {
    int64_t start = i % runs * CHUNK, at = i / runs * s.period + start;
    int64_t length = s.period - start < CHUNK ? s.period - start : CHUNK;
    TYPED(add_run, type, real_at(a, at, type), real_at(b, start, type), real_at(y, at, type),
          length);
  }
}

/* Sums of `columns` <= COLUMNS columns over rows [first, last). */
INLINE void column_sums(const void *dy, int64_t period, int columns, int64_t first, int64_t last,
                        double *total, DType type) {
  memset(total, 0, COLUMNS * sizeof *total);
  for (int64_t block = first; block < last; block += ROWS) {
    float sum[COLUMNS] = {0};
    int64_t end = block + ROWS < last ? block + ROWS : last;
    for (int64_t r = block; r < end; r++)
#pragma omp simd
      for (int c = 0; c < columns; c++) sum[c] += real_get(dy, r * period + c, type);
    for (int c = 0; c < columns; c++) total[c] += (double)sum[c];
  }
}

static void repeat_backward(const Call *call, const Sizes *s) {
  const void *dy = call->dout[0].data;
  void *db = call->din[IN_B].data;
  DType type = call->dout[0].type;
  double *partial = call->scratch;
  int64_t groups = (s->period + COLUMNS - 1) / COLUMNS;
#pragma omp parallel for schedule(static) if (s->count > PARALLEL_LEAST)
  for (int64_t i = 0; i < groups * s->pieces; i++) {
    double total[COLUMNS];
    int64_t start = i % groups * COLUMNS, piece = i / groups;
    int columns = s->period - start < COLUMNS ? (int)(s->period - start) : COLUMNS;
    TYPED(column_sums, type, real_at(dy, start, type), s->period, columns,
          s->rows * piece / s->pieces, s->rows * (piece + 1) / s->pieces, total);
    for (int c = 0; c < columns; c++)
      if (s->pieces == 1)
        real_set(db, start + c, (float)total[c], type);
      else
        partial[piece * s->period + start + c] = total[c];
  }
  for (int64_t j = 0; s->pieces > 1 && j < s->period; j++) {
    double sum = 0;
    for (int64_t piece = 0; piece < s->pieces; piece++) sum += partial[piece * s->period + j];
    real_set(db, j, (float)sum, type);
  }
}

static void copy(void *to, const Tensor *from) {
  int64_t bytes = (int64_t)tensor_bytes(from);
#pragma omp parallel for schedule(static) if (bytes > 4 * PARALLEL_LEAST)
  for (int64_t i = 0; i < bytes; i += 4 * CHUNK)
    memcpy((char *)to + i, (const char *)from->data + i,
           (size_t)(bytes - i < 4 * CHUNK ? bytes - i : 4 * CHUNK));
}

static void backward(const Call *call) {
  Sizes s = sizes_make(call);
  const Tensor *dy = &call->dout[0];
  void *da = call->din[IN_A].data, *db = call->din[IN_B].data;
  if (db && s.rows == 1) copy(db, dy);
  if (db && s.rows > 1) repeat_backward(call, &s);
  if (da && da != dy->data) copy(da, dy);
}

const Kernel add_cpu = {.forward = forward,
                        .backward = backward,
                        .prepare = prepare,
                        .bf16 = SAVES_IN(IN_A) | SAVES_IN(IN_B) | SAVES_OUT(0),
                        .bf16_together = true};
