/* Depthwise with sums in registers (kernels/cpu/depthwise.h); one channel to four or four to one,
 * without neighbours, at the speed of memory (3D UX-Net's gates). All else: the reference loops. */
#include "kernels/cpu/bf16.h"
#include "kernels/cpu/depthwise.h"
#include "kernels/cpu/parallel.h"
#include "kernels/cpu/staging.h"
#include "kernels/cpu/sum_rows.h"
#include "kernels/options.h"

#include <string.h>

enum { IN_W, IN_B, IN_X };
#define EVERY_LANE for (int lane = 0; lane < VEC; lane++)

enum { FAN = 4, PIECES = 16, LEAST_ROWS = 64 };

typedef enum Way { WAY_DEPTHWISE, WAY_FAN, WAY_PLAIN } Way;

static Depthwise depthwise_of(const Call *call) {
  const int *stride = ((const GroupedConvOptions *)call->options)->stride.v;
  GroupedSides sides = grouped_sides(call);
  Depthwise d = {
      .type = call->in[IN_X].type, .samples = sides.small.dim[0], .channels = sides.small.dim[4]};
  for (int a = 0; a < 3; a++) {
    d.small[a] = sides.small.dim[1 + a];
    d.big[a] = sides.big.dim[1 + a];
    d.kernel[a] = call->in[IN_W].dim[1 + a];
    d.stride[a] = stride[a];
  }
  return d;
}

/* ---- one to four and four to one ------------------------------------------------------------- */

/* Element i of the wide map (rows, FAN channels) belongs to i / FAN of the narrow one. */
typedef struct Fan {
  DType type;
  int64_t rows, channels; /* of the narrow map */
} Fan;

static Fan fan_of(const Call *call) {
  const Tensor *x = &call->in[IN_X];
  int groups = ((const GroupedConvOptions *)call->options)->groups;
  return (Fan){x->type, tensor_rows(x), groups};
}

static bool widens(const Call *call) {
  return call->in[IN_W].dim[4] == 1;
}

/* Register k of the FAN that a narrow one becomes. */
INLINE Vec fan_out(Vec narrow, int k) {
  IntVec from;
  EVERY_LANE from[lane] = (k * VEC + lane) / FAN;
  return __builtin_shuffle(narrow, from);
}

/* Sums of neighbours: of a's, then of b's. */
INLINE Vec pair_sums(Vec a, Vec b) {
  IntVec even;
  EVERY_LANE even[lane] = 2 * lane;
  return __builtin_shuffle(a, b, even) + __builtin_shuffle(a, b, even + 1);
}

INLINE Vec fan_in(const Vec wide[FAN]) {
  return pair_sums(pair_sums(wide[0], wide[1]), pair_sums(wide[2], wide[3]));
}

INLINE void widen_row(const Fan *f, const void *narrow, const float *w, const float *b, void *wide,
                      const DType type) {
  for (int64_t c = 0; c < f->channels; c += VEC) {
    Vec x = real_load(narrow, c, type);
    for (int k = 0; k < FAN; k++) {
      int64_t i = c * FAN + k * VEC;
      real_store(wide, i, vec_fma(fan_out(x, k), vec_load(w + i), b ? vec_load(b + i) : (Vec){0}),
                 type);
    }
  }
}

INLINE void narrow_row(const Fan *f, const void *wide, const float *w, const float *b, void *narrow,
                       const DType type) {
  for (int64_t c = 0; c < f->channels; c += VEC) {
    Vec x[FAN], start = b ? vec_load(b + c) : (Vec){0};
    for (int k = 0; k < FAN; k++) {
      int64_t i = c * FAN + k * VEC;
      x[k] = real_load(wide, i, type) * vec_load(w + i);
    }
    real_store(narrow, c, fan_in(x) + start, type);
  }
}

static bool fan_is_large(const Fan *f) {
  return f->rows * f->channels * FAN > PARALLEL_LEAST;
}

static void widen(const Fan *f, const void *narrow, const float *w, const float *b, void *wide) {
#pragma omp parallel for schedule(static) if (fan_is_large(f))
  for (int64_t row = 0; row < f->rows; row++)
    TYPED(widen_row, f->type, f, real_at(narrow, row * f->channels, f->type), w, b,
          real_at(wide, row * f->channels * FAN, f->type));
}

static void narrow(const Fan *f, const void *wide, const float *w, const float *b, void *to) {
#pragma omp parallel for schedule(static) if (fan_is_large(f))
  for (int64_t row = 0; row < f->rows; row++)
    TYPED(narrow_row, f->type, f, real_at(wide, row * f->channels * FAN, f->type), w, b,
          real_at(to, row * f->channels, f->type));
}

static int64_t fan_pieces(const Fan *f) {
  int64_t pieces = f->rows / LEAST_ROWS;
  return pieces < 1 ? 1 : pieces < PIECES ? pieces : PIECES;
}

/* Sums over rows first .. end - 1, of a register of narrow channels. */
INLINE void fan_sums(const Fan *f, const void *wide, const void *narrow, int64_t c, int64_t first,
                     int64_t end, float *sums, const DType type) {
  Vec sum[FAN] = {{0}};
  for (int64_t row = first; row < end; row++) {
    Vec x = real_load(narrow, row * f->channels + c, type);
    for (int k = 0; k < FAN; k++) {
      Vec y = real_load(wide, (row * f->channels + c) * FAN + k * VEC, type);
      sum[k] = vec_fma(y, fan_out(x, k), sum[k]);
    }
  }
  for (int k = 0; k < FAN; k++) vec_store(sums + c * FAN + k * VEC, sum[k]);
}

static void fan_weights(const Fan *f, const void *wide, const void *narrow, float *dw,
                        float *scratch) {
  int64_t pieces = fan_pieces(f), groups = f->channels / VEC, width = f->channels * FAN;
#pragma omp parallel for schedule(static) if (fan_is_large(f))
  for (int64_t i = 0; i < pieces * groups; i++) {
    int64_t piece = i / groups;
    TYPED(fan_sums, f->type, f, wide, narrow, i % groups * VEC, f->rows * piece / pieces,
          f->rows * (piece + 1) / pieces, scratch + piece * width);
  }
  for (int64_t c = 0; c < width; c++) {
    double sum = 0;
    for (int64_t piece = 0; piece < pieces; piece++) sum += (double)scratch[piece * width + c];
    dw[c] = (float)sum;
  }
}

/* ---- the call -------------------------------------------------------------------------------- */

static Way way_of(const Call *call) {
  const GroupedConvOptions *o = call->options;
  const Tensor *w = &call->in[IN_W], *x = &call->in[IN_X];
  Depthwise d = depthwise_of(call);
  bool one = true;
  for (int a = 0; a < 3; a++) one = one && d.kernel[a] == 1 && d.stride[a] == 1;
  if (x->dim[4] == o->groups && w->dim[0] == o->groups)
    return depthwise_fits(&d) ? WAY_DEPTHWISE : WAY_PLAIN;
  bool fan =
      w->dim[4] == 1 ? w->dim[0] == FAN * o->groups : w->dim[4] == FAN && w->dim[0] == o->groups;
  return one && fan && o->groups % VEC == 0 ? WAY_FAN : WAY_PLAIN;
}

static bool prepare(Call *call, Error *error) {
  if (way_of(call) == WAY_PLAIN) return staging_prepare(call, error);
  Depthwise d = depthwise_of(call);
  Fan f = fan_of(call);
  bool deep = way_of(call) == WAY_DEPTHWISE;
  size_t bytes = deep ? depthwise_scratch(&d) : 0;
  if (call->backward) {
    const Tensor *dy = &call->dout[0];
    size_t sums = sum_rows_scratch(tensor_rows(dy), tensor_last(dy));
    if (!deep) bytes = (size_t)(fan_pieces(&f) * f.channels * FAN) * sizeof(float);
    if (sums > bytes) bytes = sums;
  }
  call->scratch_bytes = bytes;
  return true;
}

static void forward(const Call *call) {
  bool transposed = ((const GroupedConvOptions *)call->options)->transposed;
  const float *w = call->in[IN_W].data, *b = input_data(call, IN_B);
  const void *x = call->in[IN_X].data;
  void *y = call->out[0].data;
  Depthwise d = depthwise_of(call);
  Fan f = fan_of(call);
  Way way = way_of(call);
  if (way == WAY_PLAIN)
    staging_run(call, kernels_portable[OP_grouped_conv]->forward);
  else if (way == WAY_DEPTHWISE)
    (transposed ? depthwise_spread : depthwise_gather)(&d, x, w, b, y, call->scratch);
  else
    (widens(call) ? widen : narrow)(&f, x, w, b, y);
}

static void backward(const Call *call) {
  bool transposed = ((const GroupedConvOptions *)call->options)->transposed;
  const Tensor *dy = &call->dout[0], *x = &call->in[IN_X];
  const float *w = call->in[IN_W].data;
  float *dw = call->din[IN_W].data, *db = call->din[IN_B].data;
  void *dx = call->din[IN_X].data, *scratch = call->scratch;
  Depthwise d = depthwise_of(call);
  Fan f = fan_of(call);
  Way way = way_of(call);
  if (way == WAY_PLAIN) {
    staging_run(call, kernels_portable[OP_grouped_conv]->backward);
    return;
  }
  if (db) sum_rows(dy->data, dy->type, tensor_rows(dy), tensor_last(dy), db, F32, scratch);
  if (way == WAY_DEPTHWISE) {
    const void *small = transposed ? x->data : dy->data, *big = transposed ? dy->data : x->data;
    if (dx) (transposed ? depthwise_gather : depthwise_spread)(&d, dy->data, w, NULL, dx, scratch);
    if (dw) depthwise_weights(&d, small, big, dw, scratch);
    return;
  }
  const void *wide = widens(call) ? dy->data : x->data, *slim = widens(call) ? x->data : dy->data;
  if (dx) (widens(call) ? narrow : widen)(&f, dy->data, w, NULL, dx);
  if (dw) fan_weights(&f, wide, slim, dw, scratch);
}

const Kernel grouped_conv_cpu = {.forward = forward,
                                 .backward = backward,
                                 .prepare = prepare,
                                 .bf16 = SAVES_IN(IN_X) | SAVES_OUT(0),
                                 .bf16_together = true};
