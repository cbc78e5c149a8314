/* Fast multiply: bound by memory. Factors that are repeated stand in a table in float, the others
 * are made chunk by chunk. The gradient of a repeated b is a sum over its repeats: float over
 * BLOCK of them, double beyond, pieces apart so that threads do not matter. */
#include "kernels/multiply.h"
#include "kernels/cpu/bf16.h"
#include "kernels/cpu/parallel.h"
#include "kernels/cpu/simd_math.h"

#include <string.h>

enum { IN_A, IN_B };
enum { COLUMNS = 64, BLOCK = 64, PIECES = 16, CHUNK = 1 << 11 };

/* function(..., first, second) with both types as constants. */
#define TYPED_BOTH(function, first, second, ...)                                                   \
  ((first) == BF16 ? TYPED(function, second, __VA_ARGS__, BF16)                                    \
                   : TYPED(function, second, __VA_ARGS__, F32))

typedef struct Work {
  MultiplySizes s;
  bool rows;       /* b is one number a row of repeats, which lie side by side */
  int64_t pieces;  /* of the sums over repeats */
  float *factor;   /* (outer, inner) if repeated */
  double *partial; /* backward, if repeated: (pieces, outer, inner) */
} Work;

static Work work_make(const Call *call) {
  Work w = {.factor = call->scratch};
  CHECK(multiply_sizes(&call->in[IN_A], &call->in[IN_B], &w.s), "multiply: shapes");
  int64_t table = w.s.outer * w.s.inner;
  w.rows = w.s.inner == 1 && w.s.repeats > 1;
  w.pieces = w.s.repeats >= BLOCK * PIECES && table <= PIECES * COLUMNS ? PIECES : 1;
  w.partial = call->scratch ? (double *)(void *)(w.factor + (table + 1) / 2 * 2) : NULL;
  return w;
}

static bool prepare(Call *call, Error *error) {
  (void)error;
  Work w = work_make(call);
  int64_t table = w.s.outer * w.s.inner;
  call->scratch_bytes = 0;
  if (w.s.repeats == 1) return true;
  call->scratch_bytes = (size_t)((table + 1) / 2 * 2) * sizeof(float);
  if (call->backward) call->scratch_bytes += (size_t)(w.pieces * table) * sizeof(double);
  return true;
}

/* ---- factors --------------------------------------------------------------------------------- */

/* Where they lie in float, or a copy. */
static const float *floats(const Tensor *from, int64_t first, int64_t count, float *copy) {
  if (from->type == F32) return (const float *)from->data + first;
  bf16_to_floats(copy, (const Bf16 *)from->data + first, count);
  return copy;
}

/* The same of what multiplies. */
static const float *factors(const Call *call, int64_t first, int64_t count, float *own) {
  const MultiplyOptions *o = call->options;
  float plus = (float)o->plus;
  const float *b = floats(&call->in[IN_B], first, count, own);
  if (o->sigmoid) {
#pragma omp simd
    for (int64_t i = 0; i < count; i++) own[i] = simd_sigmoid(b[i]) + plus;
  } else if (plus != 0) {
#pragma omp simd
    for (int64_t i = 0; i < count; i++) own[i] = b[i] + plus;
  }
  return o->sigmoid || plus != 0 ? own : b;
}

static void table_fill(const Call *call, const Work *w) {
  int64_t count = w->s.outer * w->s.inner;
#pragma omp parallel for schedule(static) if (count > PARALLEL_LEAST)
  for (int64_t i = 0; i < count; i += CHUNK) {
    int64_t n = count - i < CHUNK ? count - i : CHUNK;
    const float *from = factors(call, i, n, w->factor + i);
    if (from != w->factor + i) memcpy(w->factor + i, from, (size_t)n * sizeof *from);
  }
}

/* ---- y = x * factor -------------------------------------------------------------------------- */

/* Lines of `count` elements that lie behind each other. step 1: a factor an element, the same for
 * every line; 0: one a line. */
INLINE void lines_inline(const void *x, const float *f, int step, void *y, int64_t lines,
                         int64_t count, DType from, DType to) {
  for (int64_t at = 0; at < lines * count; at += count, f += !step) {
    int64_t i = 0;
    for (; i + VEC <= count; i += VEC) {
      Vec factor = step ? vec_load(f + i) : vec_splat(*f);
      real_store(y, at + i, real_load(x, at + i, from) * factor, to);
    }
    for (; i < count; i++) real_set(y, at + i, real_get(x, at + i, from) * f[step * i], to);
  }
}

static void lines_product(const Tensor *x, const float *f, int step, const Tensor *y, int64_t at,
                          int64_t lines, int64_t count) {
  const void *from = real_at(x->data, at, x->type);
  void *to = real_at(y->data, at, y->type);
  if (step)
    TYPED_BOTH(lines_inline, x->type, y->type, from, f, 1, to, lines, count);
  else
    TYPED_BOTH(lines_inline, x->type, y->type, from, f, 0, to, lines, count);
}

/* In place, y is x. A task is a part of a long line, or some short ones: rows of b, or repeats in
 * one block outer. */
static void product(const Call *call, const Work *w, const Tensor *x, const Tensor *y) {
  const MultiplySizes *s = &w->s;
  int64_t length = w->rows ? s->repeats : s->inner, lines = w->rows ? s->outer : s->repeats;
  int64_t groups = w->rows ? 1 : s->outer, chunks = (length + CHUNK - 1) / CHUNK;
  int64_t most = length < CHUNK ? CHUNK / length : 1, blocks = (lines + most - 1) / most;
#pragma omp parallel for schedule(static) if (tensor_count(x) > PARALLEL_LEAST)
  for (int64_t i = 0; i < groups * blocks * chunks; i++) {
    int64_t group = i / (blocks * chunks), first = i / chunks % blocks * most;
    int64_t start = i % chunks * CHUNK, at = (group * lines + first) * length + start;
    int64_t count = length - start < CHUNK ? length - start : CHUNK;
    float own[CHUNK];
    const float *f = w->rows ? w->factor + first : w->factor + group * s->inner + start;
    if (s->repeats == 1) f = factors(call, at, count, own);
    lines_product(x, f, !w->rows, y, at, lines - first < most ? lines - first : most, count);
  }
}

static void forward(const Call *call) {
  Work w = work_make(call);
  if (w.s.repeats > 1) table_fill(call, &w);
  product(call, &w, &call->in[IN_A], &call->out[0]);
}

/* ---- the gradient of b ----------------------------------------------------------------------- */

/* Of `columns` <= COLUMNS columns, over `rows` rows of `pitch` elements. */
INLINE void column_sums(const void *dy, const void *a, int64_t pitch, int columns, int64_t rows,
                        double *total, DType type, DType a_type) {
  for (int c = 0; c < columns; c++) total[c] = 0;
  for (int64_t block = 0; block < rows; block += BLOCK) {
    float sum[COLUMNS] = {0};
    int64_t end = block + BLOCK < rows ? block + BLOCK : rows;
    for (int64_t r = block; r < end; r++)
#pragma omp simd
      for (int c = 0; c < columns; c++)
        sum[c] += real_get(dy, r * pitch + c, type) * real_get(a, r * pitch + c, a_type);
    for (int c = 0; c < columns; c++) total[c] += (double)sum[c];
  }
}

INLINE void run_sum(const void *dy, const void *a, int64_t count, double *total, DType type,
                    DType a_type) {
  *total = 0;
  for (int64_t block = 0; block < count; block += BLOCK * VEC) {
    Vec sum = {0};
    int64_t i = block, end = block + BLOCK * VEC < count ? block + BLOCK * VEC : count;
    for (; i + VEC <= end; i += VEC) sum += real_load(dy, i, type) * real_load(a, i, a_type);
    for (int lane = 0; lane < VEC; lane++) *total += (double)sum[lane];
    for (; i < end; i++) *total += (double)(real_get(dy, i, type) * real_get(a, i, a_type));
  }
}

/* Piece by piece, of up to COLUMNS neighbouring numbers of b at once. */
static void partial_sums(const Call *call, const Work *w) {
  const Tensor *a = &call->in[IN_A], *dy = &call->dout[0];
  const MultiplySizes *s = &w->s;
  int64_t groups = (s->inner + COLUMNS - 1) / COLUMNS, table = s->outer * s->inner;
#pragma omp parallel for schedule(static) if (tensor_count(a) > PARALLEL_LEAST)
  for (int64_t i = 0; i < w->pieces * s->outer * groups; i++) {
    int64_t piece = i / (s->outer * groups), o = i / groups % s->outer;
    int64_t start = i % groups * COLUMNS, first = s->repeats * piece / w->pieces;
    int64_t rows = s->repeats * (piece + 1) / w->pieces - first;
    int64_t at = (o * s->repeats + first) * s->inner + start;
    int columns = (int)(s->inner - start < COLUMNS ? s->inner - start : COLUMNS);
    double *total = w->partial + piece * table + o * s->inner + start;
    const void *from = real_at(dy->data, at, dy->type), *with = real_at(a->data, at, a->type);
    if (w->rows)
      TYPED_BOTH(run_sum, dy->type, a->type, from, with, rows, total);
    else
      TYPED_BOTH(column_sums, dy->type, a->type, from, with, s->inner, columns, rows, total);
  }
}

static float slope(const Call *call, int64_t k) {
  if (!((const MultiplyOptions *)call->options)->sigmoid) return 1;
  const Tensor *b = &call->in[IN_B];
  float e = simd_exp(-fabsf(real_get(b->data, k, b->type))), r = 1.f / (1.f + e);
  return e * r * r;
}

static void repeated_gradient(const Call *call, const Work *w) {
  const Tensor *db = &call->din[IN_B];
  int64_t table = w->s.outer * w->s.inner;
  partial_sums(call, w);
#pragma omp parallel for schedule(static) if (table > PARALLEL_LEAST)
  for (int64_t k = 0; k < table; k++) {
    double sum = 0;
    for (int64_t piece = 0; piece < w->pieces; piece++) sum += w->partial[piece * table + k];
    real_set(db->data, k, (float)(sum * (double)slope(call, k)), db->type);
  }
}

/* Not repeated. */
static void plain_gradient(const Call *call) {
  const Tensor *a = &call->in[IN_A], *b = &call->in[IN_B], *dy = &call->dout[0];
  const Tensor *db = &call->din[IN_B];
  bool gate = ((const MultiplyOptions *)call->options)->sigmoid;
  int64_t total = tensor_count(a);
#pragma omp parallel for schedule(static) if (total > PARALLEL_LEAST)
  for (int64_t i = 0; i < total; i += CHUNK) {
    int64_t n = total - i < CHUNK ? total - i : CHUNK;
    float own[CHUNK], copy[CHUNK];
    const float *f = floats(a, i, n, own);
    if (gate) {
      const float *x = floats(b, i, n, copy);
#pragma omp simd
      for (int64_t k = 0; k < n; k++) {
        float e = simd_exp(-fabsf(x[k])), r = 1.f / (1.f + e);
        own[k] = f[k] * (e * r * r);
      }
      f = own;
    }
    lines_product(dy, f, 1, db, i, 1, n);
  }
}

/* db first: in place da is dy. */
static void backward(const Call *call) {
  Work w = work_make(call);
  if (call->din[IN_B].data && w.s.repeats == 1) plain_gradient(call);
  if (call->din[IN_B].data && w.s.repeats > 1) repeated_gradient(call, &w);
  if (!call->din[IN_A].data) return;
  if (w.s.repeats > 1) table_fill(call, &w);
  product(call, &w, &call->dout[0], &call->din[IN_A]);
}

const Kernel multiply_cpu = {.forward = forward,
                             .backward = backward,
                             .prepare = prepare,
                             .bf16 = SAVES_IN(IN_A) | SAVES_IN(IN_B) | SAVES_OUT(0)};
