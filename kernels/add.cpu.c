/* Fast add: bound by memory. The gradient of a repeated b sums over rows of `period` elements. */
#include "kernels/cpu/bf16.h"
#include "kernels/cpu/parallel.h"
#include "kernels/cpu/sum_rows.h"
#include "kernels/options.h"

#include <string.h>

enum { IN_A, IN_B };
enum { CHUNK = 1 << 14 };

typedef struct Sizes {
  int64_t count, period, rows;
} Sizes;

static Sizes sizes_make(const Call *call) {
  Sizes s = {.count = tensor_count(&call->in[IN_A]), .period = tensor_count(&call->in[IN_B])};
  s.rows = s.count / s.period;
  return s;
}

static bool prepare(Call *call, Error *error) {
  (void)error;
  Sizes s = sizes_make(call);
  call->scratch_bytes = call->backward ? sum_rows_scratch(s.rows, s.period) : 0;
  return true;
}

/* With a scale of 1 the product is b itself: a sum is rounded as one without it. */
INLINE void add_run(const void *a, float scale, const void *b, void *y, int64_t count, DType type) {
  int64_t i = 0;
  for (; i + VEC <= count; i += VEC)
    real_store(y, i, real_load(a, i, type) + scale * real_load(b, i, type), type);
  for (; i < count; i++) real_set(y, i, real_get(a, i, type) + scale * real_get(b, i, type), type);
}

static void forward(const Call *call) {
  Sizes s = sizes_make(call);
  const void *a = call->in[IN_A].data, *b = call->in[IN_B].data;
  void *y = call->out[0].data;
  float scale = (float)add_scale(call);
  DType type = call->out[0].type;
  /* Runs of at most CHUNK elements, none across the end of b. */
  int64_t runs = (s.period + CHUNK - 1) / CHUNK;
#pragma omp parallel for schedule(static) if (s.count > PARALLEL_LEAST)
  for (int64_t i = 0; i < s.rows * runs; i++) {
    int64_t start = i % runs * CHUNK, at = i / runs * s.period + start;
    int64_t length = s.period - start < CHUNK ? s.period - start : CHUNK;
    TYPED(add_run, type, real_at(a, at, type), scale, real_at(b, start, type), real_at(y, at, type),
          length);
  }
}

static void copy(void *to, const Tensor *from) {
  int64_t bytes = (int64_t)tensor_bytes(from);
#pragma omp parallel for schedule(static) if (bytes > 4 * PARALLEL_LEAST)
  for (int64_t i = 0; i < bytes; i += 4 * CHUNK)
    memcpy((char *)to + i, (const char *)from->data + i,
           (size_t)(bytes - i < 4 * CHUNK ? bytes - i : 4 * CHUNK));
}

INLINE void scale_run(void *x, float scale, int64_t count, DType type) {
  for (int64_t i = 0; i < count; i++) real_set(x, i, scale * real_get(x, i, type), type);
}

static void scale_all(void *x, float scale, int64_t count, DType type) {
#pragma omp parallel for schedule(static) if (count > PARALLEL_LEAST)
  for (int64_t i = 0; i < count; i += CHUNK)
    TYPED(scale_run, type, real_at(x, i, type), scale, count - i < CHUNK ? count - i : CHUNK);
}

static void backward(const Call *call) {
  Sizes s = sizes_make(call);
  const Tensor *dy = &call->dout[0];
  void *da = call->din[IN_A].data, *db = call->din[IN_B].data;
  if (db && s.rows == 1) copy(db, dy);
  if (db && s.rows > 1) sum_rows(dy->data, dy->type, s.rows, s.period, db, dy->type, call->scratch);
  if (db && add_scale(call) != 1) scale_all(db, (float)add_scale(call), s.period, dy->type);
  if (da && da != dy->data) copy(da, dy);
}

const Kernel add_cpu = {.forward = forward,
                        .backward = backward,
                        .prepare = prepare,
                        .bf16 = SAVES_IN(IN_A) | SAVES_IN(IN_B) | SAVES_OUT(0),
                        .bf16_together = true};
